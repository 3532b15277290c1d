"""runs and compare: on real tiny runs, on unfinished and broken ones, on nonsense."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ftcli.run.run_dir import RunDir

FIRST, SECOND = "runs/quickstart/20260101-120000-abc123", "runs/quickstart/20260102-120000-def456"


def refused(done, *said: str) -> None:
    assert done.code == 2, done.out + done.err
    assert "Traceback" not in done.out + done.err and done.err.count("╭") == 1
    for text in said:
        assert text in " ".join(done.err.replace("│", " ").split()), done.err


@pytest.fixture
def two(ftcli, tiny, tmp_path):
    """Returns the command line in a folder with two finished runs that have a test part."""
    part = tmp_path / "rows" / "validation.tsv"
    (tmp_path / "rows" / "test.tsv").write_text(part.read_text())
    assert ftcli("train", *tiny, "--run-dir", FIRST).code == 0
    other = [word for word in tiny if not word.startswith(("trainer.epochs", "optimizer.lr"))]
    assert ftcli("train", *other, "trainer.epochs=1", "optimizer.lr=3e-2", "seed=7", "freezing=head-only", "--run-dir", SECOND).code == 0  # fmt: skip
    return ftcli


def right(run: str) -> list[bool]:
    lines = (Path(run) / "predictions" / "validation.jsonl").read_text().splitlines()
    return [row["label"] == row["prediction"] for row in map(json.loads, lines)]


def test_two_runs_as_one_object(two):
    done = two("compare", "abc", "last", "--json")
    assert done.code == 0 and done.err == ""
    shown = json.loads(done.out)
    first, second = shown["runs"]
    result = json.loads((Path(FIRST) / "result.json").read_text())
    assert first["path"] == FIRST and second["path"] == SECOND
    assert first["metrics"] == result["metrics"] and first["test"] == result["test"] == result["metrics"]
    assert first["trainable_share"] == 1.0
    assert 0 < second["trainable_share"] == second["trainable_parameters"] / second["total_parameters"] < 0.1
    assert (first["steps"], second["steps"]) == (12, 6)
    logged = [json.loads(line) for line in (Path(FIRST) / "metrics.jsonl").read_text().splitlines()]
    assert first["peak_memory_bytes"] == max(event.get("memory_bytes", 0) for event in logged)
    best = [file.stat().st_size for file in (Path(FIRST) / "checkpoints/best").iterdir()]
    assert first["best_checkpoint_bytes"] == sum(best)
    everything = [f.stat().st_size for f in Path(FIRST).rglob("*") if f.is_file() and "best" not in f.parts and "last" not in f.parts]  # fmt: skip
    assert first["run_bytes"] == sum(everything)
    assert shown["settings"]["optimizer.lr"] == [3e-3, 3e-2] and shown["settings"]["seed"] == [42, 7]
    assert shown["settings"]["freezing"] == ["none", "head-only"] and "data.path" not in shown["settings"]
    assert "uses.freezing" not in shown["settings"] and "recorded.cpu" not in shown["settings"]
    (pair,) = shown["pairs"]
    ours, theirs = right(FIRST), right(SECOND)
    assert pair["only_first"] == sum(a and not b for a, b in zip(ours, theirs, strict=True))
    assert pair["only_second"] == sum(b and not a for a, b in zip(ours, theirs, strict=True))
    assert pair["difference"] == pytest.approx(second["metrics"]["accuracy"] - first["metrics"]["accuracy"])


def test_two_runs_on_the_screen(two):
    done = two("compare", FIRST, SECOND)
    assert done.code == 0 and done.err == ""
    for text in ("validation accuracy", "test accuracy", "share that trains", " 100% ", "peak memory",
                 "optimizer.lr", "freezing", "head-only", "validation, row by row", "another seed is another run",
                 "also chose the checkpoints"):  # fmt: skip
        assert text in done.out, done.out
    assert "compared row by row:" not in done.out
    tested = two("compare", FIRST, SECOND, "--split", "test").out
    assert "test, row by row" in tested and "also chose the checkpoints" not in tested


def test_a_resumed_run_is_not_judged_by_its_former_predictions(two):
    (Path(SECOND) / "result.json").unlink()
    done = two("compare", FIRST, SECOND)
    assert done.code == 0 and "B is not finished" in done.out and "B is stopped at step 6" in done.out
    with RunDir(Path(SECOND)).locked():
        shown = json.loads(two("compare", FIRST, SECOND, "--json").out)
    assert shown["runs"][1]["state"] == "running" and shown["runs"][1]["metrics"] == {}
    assert shown["runs"][1]["trainable_parameters"] > 0 and not shown["pairs"][0]["compared"]


def test_runs_of_different_rows(two, tiny, tmp_path):
    rows = tmp_path / "rows" / "validation.tsv"
    rows.write_text(rows.read_text() + "the film was good\tpositive\n")
    assert two("train", *tiny, "--run-dir", "third").code == 0
    done = two("compare", FIRST, SECOND, "third")
    assert done.code == 0 and "A and C are not compared row by row: their validation rows differ" in done.out
    assert "not the same validation rows (A and B | C): figures of different rows do not compare" in done.out
    assert "not the same validation rows" not in two("compare", FIRST, SECOND).out
    assert "B is right on" in done.out or "A and B are right on the same" in done.out


def test_a_run_without_a_test_part(ftcli, tiny):
    assert ftcli("train", *tiny, "--run-dir", "a").code == 0
    shutil.copytree("a", "b", symlinks=True)
    done = ftcli("compare", "a", "b", "--split", "test")
    assert done.code == 0 and "no setting differs" in done.out and "A has no test part" in done.out
    assert "right on the same" in ftcli("compare", "a", "b").out
    Path("b/predictions/validation.jsonl").write_text('{"row": 0, "spans": []}\n')
    assert "predictions/validation.jsonl of B, line 1 has no label" in ftcli("compare", "a", "b").out


def test_nonsense_is_refused(two):
    refused(two("compare", FIRST), "RUN", "nothing to be compared with", "ftcli runs")
    refused(two("compare"), "Missing argument")
    refused(two("compare", "abc123", FIRST), "the same run")
    refused(two("compare", "nix", "def457", FIRST), "no run 'nix'", "did you mean def456?", "2 problems")
    refused(two("compare", FIRST, SECOND, "--split", "train"), "--split")
    (Path(SECOND) / "result.json").write_text('{"metrics": ')
    refused(two("compare", FIRST, SECOND), "result.json", "cannot be read")
    (Path(SECOND) / "config.yaml").write_text("a: [")
    refused(two("compare", FIRST, SECOND), "config.yaml", "cannot be read")


def test_text_of_a_run_brings_no_markup_and_no_control_characters(two):
    file = Path(SECOND) / "config.yaml"
    file.write_text(file.read_text().replace("recipe: own", r'recipe: "[red]\e[31m\udc80x[/nope]"'))
    result = json.loads((Path(SECOND) / "result.json").read_text())
    result["metrics"]["loss"], result["metrics"]["[bold]own"] = float("nan"), "far"
    (Path(SECOND) / "result.json").write_text(json.dumps(result))
    for done in (two("runs"), two("compare", FIRST, SECOND)):
        assert done.code == 0 and "\x1b" not in done.out and r"[red]\x1b[31m\udc80x[/nope]" in done.out
    assert "[bold]own" in done.out and "NaN" in done.out
    strict = json.loads(two("compare", FIRST, SECOND, "--json").out, parse_constant=pytest.fail)
    assert strict["runs"][1]["metrics"]["loss"] == "NaN"


def test_runs_newest_first(two):
    done = two("runs")
    lines = done.out.splitlines()
    assert done.code == 0 and [line.split()[0] for line in lines[2:]] == ["def456", "abc123"]
    assert "2026-01-02 12:00:00" in lines[2] and "local: model" in lines[2] and "text: rows" in lines[2]
    newest, oldest = json.loads(two("runs", "--json").out)["runs"]
    result = json.loads((Path(FIRST) / "result.json").read_text())
    assert oldest["state"] == "finished" and oldest["best"] == result["metrics"]["accuracy"]
    assert (newest["run"], newest["recipe"], newest["steps"]) == ("def456", "own", 6)
    assert oldest["wall_seconds"] == result["wall_seconds"] and oldest["monitor"] == "accuracy"


def test_runs_that_are_unfinished_broken_or_half_written(two):
    (Path(FIRST) / "result.json").unlink()
    with (Path(FIRST) / "metrics.jsonl").open("a") as file:
        file.write('{"event": "train", "step": 9')  # torn by a kill
    third, fourth = Path("runs/quickstart/20260103-120000-aaaaaa"), Path("runs/other/20260104-120000-bbbbbb")
    for path in (third, fourth, Path("runs/tensorboard-of-another-tool/events")):
        path.mkdir(parents=True)
    (third / "plan.json").write_text("{}")
    (fourth / "config.yaml").write_bytes(b"\xff\x00: [")
    Path("runs/stray.txt").touch()
    with RunDir(third).locked():
        states = {record["run"]: record for record in json.loads(two("runs", "--json").out)["runs"]}
    assert states["abc123"]["state"] == "stopped" and states["abc123"]["steps"] == 12
    assert states["abc123"]["best"] is not None and states["abc123"]["wall_seconds"] > 0
    assert states["def456"]["state"] == "finished" and len(states) == 4
    assert states[str(third)]["state"] == "running" and states["bbbbbb"]["state"] == "broken"
    done = two("runs")
    assert done.code == 0 and "Traceback" not in done.out
    assert f"broken: {third}: has no config.yaml" in done.out and f"broken: {fourth}: config.yaml" in done.out
    (Path(SECOND) / "result.json").write_text("[]")
    assert f"broken: {SECOND}: result.json cannot be read" in two("runs").out


def test_what_runs_calls_a_run_is_what_one_types(two):
    shutil.copytree(FIRST, "runs/quickstart/20260105-120000-abc123", symlinks=True)
    shutil.copytree(FIRST, "runs/mine", symlinks=True)
    shutil.copytree(FIRST, os.fsdecode(b"runs/quickstart/\xff"), symlinks=True)
    for record in json.loads(two("runs", "--json").out)["runs"]:
        if "\\" not in record["path"]:
            assert RunDir.find(record["run"]).path == Path(record["path"])
    assert "runs/mine" in two("runs").out and r"runs/quickstart/\udcff" in two("runs").out


def test_runs_elsewhere_and_nowhere(ftcli, two, tmp_path):
    shutil.move("runs", tmp_path / "kept")
    done = ftcli("runs")
    assert done.code == 0 and done.out.strip() == "no runs under runs/: type ftcli train"
    assert json.loads(ftcli("runs", "--json").out) == {"runs": []}
    for folder in (tmp_path / "kept", tmp_path / "kept" / "quickstart"):
        shown = json.loads(ftcli("runs", "--runs-dir", str(folder), "--json").out)["runs"]
        assert [Path(record["run"]).name for record in shown] == [Path(SECOND).name, Path(FIRST).name]
        assert all(RunDir.existing(Path(record["run"])) for record in shown)
    alone = tmp_path / "kept" / Path(FIRST).relative_to("runs")
    shown = json.loads(ftcli("runs", "--runs-dir", str(alone), "--json").out)["runs"]
    assert [record["path"] for record in shown] == [str(alone)]
    refused(ftcli("runs", "--runs-dir", "nowhere"), "--runs-dir nowhere", "is not a folder")


@pytest.mark.parametrize("command", ["runs", "compare"])
def test_help_has_an_example(ftcli, command):
    done = ftcli(command, "--help")
    assert done.code == 0 and f"Example: ftcli {command}" in done.out


GOLDEN = Path(__file__).parents[1] / "golden" / "0.1" / "runs"


@pytest.mark.parametrize(("task", "change", "unit", "said"), [
    ("regression", lambda row: {"prediction": row["label"]}, "absolute errors", "B is nearer to the label on"),
    ("token-classification", lambda row: {"prediction": row["label"]}, "entities", "B's span-f1 is higher"),
    ("multi-label", lambda row: {"prediction": row["label"]}, "rows with all labels right", "B has all labels right on"),
    ("extractive-qa", lambda row: {"prediction": "none"}, "rows with an accepted answer", "B gives an accepted answer on 0 rows"),
])  # fmt: skip
def test_each_task_is_compared_in_its_unit(ftcli, task, change, unit, said):
    shutil.copytree(GOLDEN / task, "a", symlinks=True)
    config = (GOLDEN / task / "config.yaml").read_text()
    Path("a/config.yaml").write_text(config.replace("@ROOT@", str(GOLDEN.parent)))
    shutil.copytree("a", "b", symlinks=True)
    file = Path("b/predictions/validation.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row | change(row)) + "\n" for row in rows))
    pair = json.loads(ftcli("compare", "a", "b", "--json").out)["pairs"][0]
    assert pair["compared"] and pair["unit"] == unit and said in pair["sentence"], pair
    assert pair["first"] == "A" and pair["p_value"] <= 1


def test_a_collapse_to_one_label_is_said(two):
    file = Path(SECOND, "predictions/validation.jsonl")
    rows = [json.loads(line) | {"prediction": "negative"} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert (
        "B predicts 'negative' for every row: its figures are those of a constant"
        in two("compare", FIRST, SECOND).out
    )
    shown = json.loads(two("compare", FIRST, SECOND, "--json").out)["runs"]
    assert shown[1]["collapsed"] == "predicts 'negative' for every row"
