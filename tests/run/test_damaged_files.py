"""Every file of a run, damaged in every way, under every command that reads it: one panel that names the file, exit 2."""

import json
import os
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden/0.1"
READERS = {
    "config.yaml": ("resume", "evaluate", "predict", "compare", "export"),
    "plan.json": ("resume", "compare"),
    "data.json": ("resume", "evaluate", "predict", "compare", "export"),
    "environment.json": ("resume", "evaluate", "predict", "compare", "export"),
    "result.json": ("compare", "export"),
    "pieces.json": ("resume",),
}
"""File -> commands that cannot do without it. `runs` lists a damaged run as broken, and is tried with all of them."""
DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2].rstrip()),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "list": lambda path: path.write_text("[1, 2]\n"),
    "number": lambda path: path.write_text("17\n"),
    "text": lambda path: path.write_text('"text"\n'),
    "lists-inside": lambda path: path.write_text(json.dumps(dict.fromkeys(KEYS, [1]))),
    "nulls-inside": lambda path: path.write_text(json.dumps(dict.fromkeys(KEYS))),
    "objects-inside": lambda path: path.write_text(json.dumps(dict.fromkeys(KEYS, {"a": {"b": 1}}))),
    "deep": lambda path: path.write_text('{"a": ' + "[" * 50_000),
    "no-utf-8": lambda path: path.write_bytes(b"\xff" + path.read_bytes()),
    "huge": lambda path: os.truncate(path, 2**33),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "fifo": lambda path: (path.unlink(), os.mkfifo(path)),
    "link": lambda path: path.symlink_to(path.rename(path.with_name("other"))),
    "dangling": lambda path: (path.unlink(), path.symlink_to("nowhere")),
}
LOOSE = ("cut", "lists-inside", "nulls-inside", "objects-inside")
"""What is still an object is compared as far as it goes: nothing is built from it."""
KEYS = ("recipe", "seed", "choices", "uses", "model", "data", "task", "trainer", "phases", "decisions", "labels", "parts",
        "tokenizer", "metrics", "splits")  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of an earlier version that was killed, with the paths of this machine, as it is and as a finished one."""
    root = tmp_path_factory.mktemp("golden")
    shutil.copytree(GOLDEN / "sources", root / "sources")
    for name in ("full", "killed-full"):
        shutil.copytree(GOLDEN / "runs" / name, root / name, symlinks=True)
        for file in (root / name).iterdir():
            if file.suffix in (".json", ".yaml", ".txt"):
                file.write_text(file.read_text().replace("@ROOT@", str(root)))
        (root / name / "pieces.json").write_text('{"splits": []}\n')
    return root


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", READERS)
def test_a_damaged_file_is_named_by_the_command_that_reads_it(source, ftcli, tmp_path, file, damage):
    rows = source / "sources/sequence-classification/validation.jsonl"
    words = {"evaluate": ["--json"], "predict": ["--input", str(rows), "--output", "out.jsonl"], "compare": [str(source / "full")],
             "export": ["exported"]}  # fmt: skip
    # Each file with each damage under one command, in turn: each command meets each file, and all damages.
    command = READERS[file][(list(DAMAGES).index(damage) + list(READERS).index(file)) % len(READERS[file])]
    name = "killed-full" if command == "resume" else "full"
    run = tmp_path / name
    shutil.copytree(source / name, run, symlinks=True)
    DAMAGES[damage](run / file)
    done = ftcli(command, str(run), *words.get(command, []))
    said = " ".join(done.err.replace("│", " ").split())
    if not (command == "compare" and damage in LOOSE and done.code == 0):
        assert done.code == 2 and "Traceback" not in said and done.err.count("╭") == 1, (command, said)
        if command == "resume" and damage in ("fifo", "link", "dangling"):  # refused before anything is read
            assert f"{run / file} is a link, or no plain file" in said or file == "config.yaml", said
        else:
            assert f"{run / file} cannot be read: " in said and "; it should hold " in said, (command, said)
            assert not (tmp_path / "work" / "exported").exists()
    listed = ftcli("runs", "--runs-dir", str(tmp_path), "--json")
    assert listed.code == 0, listed.err


def test_a_damaged_result_is_written_again_by_the_words_of_its_hint(source, ftcli, tmp_path):
    run = tmp_path / "full"
    shutil.copytree(source / "full", run, symlinks=True)
    before = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text("{")
    done = ftcli("resume", str(run))
    assert done.code == 2 and f"rm {run}/result.json && ftcli resume {run}" in " ".join(
        done.err.replace("│", " ").split()
    )
    (run / "result.json").unlink()
    assert ftcli("resume", str(run)).code == 0
    assert json.loads((run / "result.json").read_text())["metrics"] == pytest.approx(
        before["metrics"], abs=1e-5
    )
