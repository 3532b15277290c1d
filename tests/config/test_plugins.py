"""A task and a metric from an installed package: two files and a YAML of its own, nothing of ours is edited."""

from __future__ import annotations

import json
import sys

import pytest
import tiny_models
import tiny_tasks

TASK = '''
from ftcli.config.registry import register
from ftcli.config.schema import TaskConfig
from ftcli.task.sequence_classification import SequenceClassification


@register("task", TaskConfig)
class FirstWords(SequenceClassification):
    """Reads the first three words of each text."""

    def texts(self, rows):
        texts, pairs = super().texts(rows)
        return [" ".join(text.split()[:3]) for text in texts], pairs
'''
METRIC = '''
from ftcli.metric import Metric
from ftcli.config.registry import register


@register("metric")
class Rows(Metric):
    """Counts rows."""

    def reset(self):
        self.rows = 0

    def update(self, predictions, labels):
        self.rows += len(labels)

    def compute(self):
        return float(self.rows)
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed distribution, as importlib.metadata finds it on the path."""
    site = tmp_path / "site"
    package = site / "words_plugin"
    (package / "conf" / "task").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "first_words.py").write_text(TASK)
    (package / "num_rows.py").write_text(METRIC)
    (package / "conf" / "task" / "first-words.yaml").write_text(
        "# The first words of a text.\nmetrics: [accuracy, num-rows]\n"
    )
    info = site / "words_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: words-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[ftcli.task]\nfirst-words = words_plugin.first_words\n[ftcli.metric]\nnum-rows = words_plugin.num_rows\n"
        "[ftcli.conf]\nwords = words_plugin\n"
    )
    monkeypatch.syspath_prepend(str(site))
    from ftcli.config import registry

    yield
    for key in [("task", "first-words"), ("metric", "num-rows")]:
        registry._ENTRIES.pop(key, None)
    for name in [name for name in sys.modules if name.startswith("words_plugin")]:
        del sys.modules[name]


def test_a_plugin_s_task_and_metric_train(plugin, ftcli, tmp_path):
    model = tiny_models.write_model(tmp_path / "model", "bert")
    rows = [
        w
        for w in tiny_tasks.write_rows(tmp_path / "rows", "sequence-classification")
        if not w.startswith("task=")
    ]
    words = ["model=local", f"model.path={model}", "model.weights=random", "trainer.max_steps=2", "task=first-words",
             "data.accept=[contradictory-labels,overlap]", *rows]  # fmt: skip
    done = ftcli("train", *words, "--run-dir", "run")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "work/run/result.json").read_text())
    assert result["metrics"]["num-rows"] == 16
    data = json.loads((tmp_path / "work/run/data.json").read_text())
    assert data["parts"]["train"]["tokens"]["max"] == 5
    listed = ftcli("list", "task").out
    assert "first-words" in listed and "The first words of a text." in listed
    assert ftcli("evaluate", "run").code == 0


def test_without_it_there_is_no_such_choice(ftcli):
    done = ftcli("config", "task=first-words")
    assert done.code == 2 and "first-words" in done.err
