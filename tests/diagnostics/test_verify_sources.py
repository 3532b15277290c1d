"""`ftcli verify` where something that the run stands on is gone, or lies in its directory and is not of the run."""

import json
import os
import shutil
from pathlib import Path

import pytest
from tiny_runs import words_for


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, its model and its rows in one folder."""
    from ftcli.cli.app import app

    root = tmp_path_factory.mktemp("sources")
    before = os.environ.get("FTCLI_CACHE")
    os.environ["FTCLI_CACHE"] = str(root / "cache")
    words = [*words_for(root, "bert"), "trainer.epochs=1", "logger=jsonl"]
    with pytest.raises(SystemExit) as ended:
        app(["train", *words, "--quiet", "--run-dir", str(root / "run")])
    os.environ.pop("FTCLI_CACHE") if before is None else os.environ.update(FTCLI_CACHE=before)
    assert not ended.value.code
    return root


@pytest.fixture
def moved(trained):
    """Returns a function that takes a path away; all are put back at the end."""
    places = []

    def move(name: str) -> Path:
        place = trained / name
        place.rename(place.with_name(f"{place.name}-away"))
        places.append(place)
        return place

    yield move
    for place in places:
        place.with_name(f"{place.name}-away").rename(place)


def checks_of(ftcli, run) -> tuple[int, dict[str, tuple[str, str]]]:
    """Returns the exit code, and what -> (result, found)."""
    done = ftcli("verify", str(run), "--json")
    assert "Traceback" not in done.err and done.code in (0, 3), done.err
    ((_, checks),) = json.loads(done.out)["runs"].items()
    return done.code, {one["what"]: (one["outcome"], one["detail"]) for one in checks}


ROWS = "rows-sequence-classification-24"


@pytest.mark.parametrize("gone", [ROWS, f"{ROWS}/train.jsonl", "bert"])
def test_a_source_that_is_not_at_hand_is_no_difference(ftcli, trained, moved, gone):
    place = moved(gone)
    code, found = checks_of(ftcli, trained / "run")
    assert code == 0, found
    for what in ("rows, model and plan", "steps taken again"):
        assert found[what][0] == "not checked" and found[what][1].startswith("not at hand: "), found
        assert str(place) in found[what][1]
    assert found["checkpoints/step-000003"][0] == "same"
    if gone != "bert":
        assert found["model"] == ("same", "hash of its files") and found["tokenizer"][0] == "same"


def test_a_changed_model_differs_though_the_rows_are_gone(ftcli, trained, moved):
    moved(ROWS)
    file = trained / "bert/config.json"
    text = file.read_text()
    try:
        file.write_text(text.replace("0.2", "0.3", 1))
        code, found = checks_of(ftcli, trained / "run")
    finally:
        file.write_text(text)
    assert code == 3 and found["model"][0] == "differs" and "changed since" in found["model"][1]


def test_a_model_of_the_hub_that_is_not_in_its_cache_is_not_at_hand(ftcli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run, symlinks=True)
    (run / "hashes.json").unlink()
    text = (run / "config.yaml").read_text()
    path = f"path: {trained / 'bert'}"
    assert path in text
    (run / "config.yaml").write_text(
        text.replace(path, "path: null", 1).replace("  id: null", "  id: some/where", 1)
    )
    code, found = checks_of(ftcli, run)
    assert code == 0, found
    assert found["rows, model and plan"][0] == "not checked"
    assert found["rows, model and plan"][1].startswith("not at hand: model.id some/where")


def test_files_and_links_that_the_run_did_not_write_are_named_and_no_damage(ftcli, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained / "run", run, symlinks=True)
    assert "other files" not in checks_of(ftcli, run)[1]
    step = run / "checkpoints/step-000003"
    (step / "extra.bin").write_bytes(b"x")
    (step / "zero").symlink_to("/dev/zero")
    os.mkfifo(run / "pipe")
    (run / "notes.txt").write_text("mine")
    code, found = checks_of(ftcli, run)
    assert code == 0, found
    assert found["checkpoints/step-000003"][0] == "same"
    outcome, detail = found["other files"]
    assert outcome == "not checked"
    assert detail == (
        "the run did not write checkpoints/step-000003/extra.bin, checkpoints/step-000003/zero (a link: resume refuses it), "
        "notes.txt, pipe (no file: resume refuses it)"
    )
