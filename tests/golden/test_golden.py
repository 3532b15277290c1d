"""Runs that older versions wrote are resumed, evaluated, predicted from, compared and exported by this one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_exports

HERE = Path(__file__).parent
VERSIONS = sorted(p.name for p in HERE.iterdir() if (p / "runs").is_dir())
TOLERANCE = 1e-5
"""Other processors add in another order; a wrong tensor or row is off by far more."""


@pytest.fixture(scope="module", params=VERSIONS)
def golden(request, tmp_path_factory):
    """A copy of all runs of a version, with the paths of this machine in place of @ROOT@."""
    root = tmp_path_factory.mktemp("golden") / request.param
    shutil.copytree(HERE / request.param, root, symlinks=True)
    for file in root.rglob("*"):
        if file.is_file() and not file.is_symlink() and file.suffix in (".json", ".yaml", ".txt", ".jsonl"):
            text = file.read_text(encoding="utf-8")
            if "@ROOT@" in text:
                file.write_text(text.replace("@ROOT@", str(root)), encoding="utf-8")
    return root


NAMES = sorted({p.name for v in VERSIONS for p in (HERE / v / "runs").iterdir()})
FINISHED = [name for name in NAMES if not name.startswith("killed-")]
KILLED = [name for name in NAMES if name.startswith("killed-")]


def rows_of(golden: Path, run: Path) -> Path:
    """Returns the validation file that the run was made with."""
    command = (run / "command.txt").read_text(encoding="utf-8").split()
    folder = next(word.partition("=")[2] for word in command if word.startswith("data.path="))
    return Path(folder.strip("'")) / "validation.jsonl"


@pytest.mark.parametrize("name", FINISHED)
def test_a_finished_run_scores_and_predicts_as_it_did(golden, ftcli, name):
    run = golden / "runs" / name
    done = ftcli("evaluate", str(run), "--json")
    assert done.code == 0, done.err
    then = json.loads((golden / "expected" / "metrics.json").read_text())[name]
    assert json.loads(done.out)["metrics"] == pytest.approx(then, abs=TOLERANCE, rel=TOLERANCE)
    assert (
        ftcli("predict", str(run), "--input", str(rows_of(golden, run)), "--output", "rows.jsonl").code == 0
    )
    now, old = (read_lines(file) for file in (Path("rows.jsonl"), golden / "expected" / f"{name}.jsonl"))
    assert len(now) == len(old)
    for here, there in zip(now, old, strict=True):
        assert_alike(here, there)


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_run_resumes_to_its_end(golden, ftcli, name):
    run = golden / "runs" / name
    before = json.loads((run / "plan.json").read_text())
    done = ftcli("resume", str(run))
    assert done.code == 0 and "continuing at step" in done.out, done.err
    result = json.loads((run / "result.json").read_text())
    assert result["steps"] > 4 and json.loads((run / "plan.json").read_text()) == before
    twin = golden / "runs" / name.removeprefix("killed-")
    if name != "killed-phases":  # that one was evaluated at other steps than its twin
        assert result["last"] == pytest.approx(
            json.loads((twin / "result.json").read_text())["last"], abs=1e-3
        )
    assert ftcli("resume", str(run)).out.count("nothing to resume") == 1


def test_a_finished_run_goes_on_for_more_epochs(golden, ftcli, tmp_path):
    shutil.copytree(golden / "runs" / "full", tmp_path / "longer", symlinks=True)
    assert ftcli("resume", str(tmp_path / "longer"), "trainer.epochs=3").code == 0
    assert json.loads((tmp_path / "longer" / "result.json").read_text())["steps"] == 9


def test_runs_are_listed_and_compared(golden, ftcli):
    listed = ftcli("compare", *(str(golden / "runs" / name) for name in ("full", "lora", "phases")), "--json")
    assert listed.code == 0, listed.err
    assert {"full", "lora", "phases"} <= set(json.dumps(json.loads(listed.out)).replace("/", '"').split('"'))


@pytest.mark.parametrize("name", ["full", "lora", "prefix-tuning", "extractive-qa"])
def test_a_run_is_exported_with_its_proof(golden, ftcli, name, monkeypatch):
    if name != "lora":  # the others' proof runs here, as a fresh process takes seconds to begin
        tiny_exports.reload_in_process(monkeypatch)
    done = ftcli("export", str(golden / "runs" / name), "exported")
    assert done.code == 0, done.out + done.err
    assert list(Path("exported").glob("*.safetensors"))


def read_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def assert_alike(here: object, there: object) -> None:
    """Compares nested values, numbers within the tolerance."""
    if isinstance(there, dict):
        assert isinstance(here, dict) and here.keys() == there.keys()
        for key, value in there.items():
            assert_alike(here[key], value)
    elif isinstance(there, list):
        assert isinstance(here, list) and len(here) == len(there)
        for one, other in zip(here, there, strict=True):
            assert_alike(one, other)
    elif isinstance(there, float):
        assert here == pytest.approx(there, abs=10 * TOLERANCE, rel=10 * TOLERANCE)
    else:
        assert here == there
