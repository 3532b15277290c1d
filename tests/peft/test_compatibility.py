"""The table of what PEFT methods train: whole, consulted before a run, shown by the list."""

from __future__ import annotations

import json

import pytest
import tiny_models
import tiny_tasks

from ftcli.config.bundled import conf_files
from ftcli.errors import ConfigError
from ftcli.peft import _compatibility as support


def test_every_method_was_tried_on_every_architecture_and_task():
    methods = support.support_table()["methods"]
    assert set(methods) == {file.stem for file in conf_files("peft").values()} - {"none"}
    for own in methods.values():
        assert set(own["architectures"]) == {*tiny_models.ARCHITECTURES, *tiny_models.IMAGES}
        assert set(own["tasks"]) == set(tiny_tasks.NAMES)


@pytest.fixture
def table(monkeypatch, tmp_path):
    """A table in which LoRA fails on one architecture and one task, and its builder refuses another."""
    own = {"architectures": {"bert": "", "gpt2": "overfit-batch fails: no gradient", "vit": "refused: no default"},
           "tasks": {"regression": "", "multi-label": "padding changes the loss"}}  # fmt: skip
    other = {"architectures": {"bert": "", "gpt2": ""}, "tasks": {"regression": "", "multi-label": ""}}
    (tmp_path / "support.json").write_text(json.dumps({"methods": {"lora": own, "ia3": other}}))
    monkeypatch.setattr(support, "FILE", tmp_path / "support.json")
    support.support_table.cache_clear()
    yield
    support.support_table.cache_clear()


@pytest.mark.parametrize(("model_type", "task"), [("gpt2", "regression"), ("bert", "multi-label")])
def test_what_was_seen_to_fail_is_refused_with_what_works(table, model_type, task):
    with pytest.raises(ConfigError) as caught:
        support.consult("lora", model_type, task)
    assert caught.value.problems[0].hint == "type peft=none, or one that does: ia3"


def test_what_works_and_what_the_builder_decides_pass(table):
    assert support.consult("lora", "bert", "regression") == []
    assert support.consult("lora", "vit", "regression") == []
    assert support.consult("none", "gpt2", "multi-label") == []


def test_an_unknown_architecture_is_said(table):
    (line,) = support.consult("lora", "mamba", "regression")
    assert "never tried on mamba" in line
    assert support.failing("lora") == "gpt2, vit, multi-label"
