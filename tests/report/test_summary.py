"""Figures read from the files of a run, whatever stands in them."""

import json
from pathlib import Path

import pytest

from ftcli.console.console import Screen
from ftcli.console.units import size_text
from ftcli.errors import RunDirError
from ftcli.report.compare import differing, figures
from ftcli.report.summary import (
    best_checkpoint_bytes,
    bytes_on_disk,
    json_safe,
    peak_memory,
    read_object,
    read_settings,
    read_summary,
)
from ftcli.report.tables import duration, format_cell, show_comparison, show_runs
from ftcli.run.run_dir import RunDir

CONFIG = "recipe: mine\nchoices: {model: minilm}\nuses: {model: pretrained}\nmodel: {path: /m, published: {lr: 1.0e-3}}\nfreezing: {}\n"


@pytest.fixture
def run(tmp_path) -> RunDir:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return RunDir(tmp_path)


def test_settings_have_the_keys_one_types(run):
    assert read_settings(run.config_yaml) == {
        "recipe": "mine",
        "model": "minilm",
        "model.path": "/m",
        "model.published.lr": 1e-3,
    }


@pytest.mark.parametrize(
    "text", ["", "a", "[1]", "a: 1", "choices: [", "choices: {}\na: &a {b: *a}", "a: \x00"]
)
def test_what_is_no_configuration_is_refused(run, text):
    run.config_yaml.write_text(text)
    with pytest.raises(RunDirError, match="config.yaml: cannot be read"):
        read_summary(run)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(tmp_path, content):
    assert read_object(tmp_path / "data.json") == {}
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(RunDirError, match="plan.json: cannot be read"):
        read_object(tmp_path / "plan.json")


def test_bytes_count_a_file_once_and_follow_no_link(run, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "large").write_bytes(b"x" * 100_000)
    step = run.checkpoints / "step-000001"
    step.mkdir(parents=True)
    (step / "model").write_bytes(b"x" * 1000)
    (step / "again").hardlink_to(step / "model")
    assert best_checkpoint_bytes(run) is None
    (run.checkpoints / "best").symlink_to("step-000001")
    assert best_checkpoint_bytes(run) == 1000
    assert 1000 < bytes_on_disk(run.path) < 3000
    (run.checkpoints / "best").unlink()
    (run.checkpoints / "best").symlink_to(outside)
    assert best_checkpoint_bytes(run) is None and bytes_on_disk(run.path) < 3000


def test_an_unfinished_run_says_how_far_it_came(run):
    lines = ['{"event": "eval", "step": 4, "best": true, "f1": 0.5, "loss": 1.0}', '{"event": "train", "step": 7, "memory_bytes": 12}',
             '{"event": "eval", "step": 8, "best": false, "f1": 0.4}', "[3]", '{"step": "x", "memory_bytes": 9}', '{"step": 99']  # fmt: skip
    run.metrics_jsonl.write_text("\n".join(lines))
    run.config_yaml.write_text(CONFIG + "task: {metrics: [f1]}\ntrainer: {monitor: null}\n")
    summary = read_summary(run)
    assert (summary.state, summary.steps(), summary.best(), peak_memory(run)) == (
        "stopped",
        8,
        ("f1", 0.5),
        12,
    )
    assert summary.wall_seconds() is None
    (run.checkpoints / "last").mkdir(parents=True)
    (run.checkpoints / "last" / "state.json").write_text('{"train": {"wall_seconds": 2.5}}')
    assert summary.wall_seconds() == 2.5
    with run.locked():
        assert read_summary(run).state == "running"


@pytest.mark.parametrize("odd", [None, "x", [1], {"a": [2]}, True, -1, 0, 1e400, "\ud800"])
def test_odd_values_are_shown_and_never_raise(run, odd, capsys):
    keys = (
        "metrics",
        "test",
        "train",
        "steps",
        "monitor",
        "wall_seconds",
        "total_parameters",
        "trainable_parameters",
    )
    run.result_json.write_text(json.dumps(dict.fromkeys(keys, odd) | {"recipe": odd}))
    for file in (run.plan_json, run.data_json, run.environment_json):
        file.write_text(json.dumps({"parts": odd, "decisions": odd, "trainable_share": odd, "model": odd}))
    summary = read_summary(run)
    record = {"letter": "A", **figures(summary)}
    pair = {"part": "test", "sentence": "none", "compared": False}
    show_comparison(Screen(), [record], differing([summary.recorded(), {}]), [pair], [])
    monitor, best = summary.best()
    listed = dict.fromkeys(("recipe", "when", "model", "data")) | {"run": "a", "state": "finished"}
    listed |= {
        "monitor": monitor,
        "best": best,
        "steps": summary.steps(),
        "wall_seconds": summary.wall_seconds(),
    }
    show_runs(Screen(), [listed], Path())
    json.dumps(record, allow_nan=False).encode()
    assert "Traceback" not in capsys.readouterr().out


def test_values_for_reading():
    assert [duration(s) for s in (0.44, 59.9, 125, 3599.7, 3720)] == ["0.4 s", "59.9 s", "2 min 05 s", "1 h 00 min", "1 h 02 min"]  # fmt: skip
    assert [size_text(b) for b in (512, 2**20, 1.5 * 2**30)] == ["512 bytes", "1.0 MiB", "1.5 GiB"]
    assert [format_cell(v, "{:.1f}".format) for v in (None, 1, "NaN", True)] == ["-", "1.0", "NaN", "True"]
    assert json_safe({"a": [float("inf"), "\udcff"], 1: b"x"}) == {"a": ["Infinity", "\\udcff"], "1": "b'x'"}


def test_settings_that_differ():
    assert differing([{"a": 1, "b": 2}, {"a": 1, "c": None}, {"a": 1, "b": 2}]) == {"b": [2, None, 2]}
