"""The watch over hostile cases sees what it is there for, and nothing in an honest process."""

import copy
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import edited_rows
import pytest
import written_rows


def watched(folder: Path, work) -> list[str]:
    """Does some work in a watched child, and returns what was recorded."""
    from benchmarks.faults import watch

    (folder / "own").mkdir()
    pid = os.fork()
    if not pid:
        try:
            os.chdir(folder / "own")
            watch.watch([folder / "own"], folder / "violations.txt")
            work(folder)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return (folder / "violations.txt").read_text().splitlines()


def write_inside(folder: Path) -> None:
    Path("mine.txt").write_text("x")
    Path("folder").mkdir()
    Path().mkdir(exist_ok=True)
    Path("mine.txt").rename("folder/other.txt")
    (folder / "violations.txt").read_text()
    os.unlink("folder/other.txt")


def write_through_a_link(folder: Path) -> None:
    Path("out").symlink_to(folder)
    Path("out/x.txt").write_text("x")


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda folder: os.system("true"), "started: os.system"),
        (lambda folder: subprocess.run(["true"]), "started: subprocess.Popen"),
        (lambda folder: (folder / "x.txt").write_text("x"), "written outside"),
        (write_through_a_link, "written outside"),
        (lambda folder: (folder / "own").rename(folder / "moved"), "changed outside: os.rename"),
        (lambda folder: (folder / "made").mkdir(), "changed outside: os.mkdir"),
        (lambda folder: socket.create_connection(("127.0.0.1", 9), timeout=1), "network: socket"),
    ],
)
def test_what_is_not_allowed_is_recorded(tmp_path, work, said):
    assert any(line.startswith(said) for line in watched(tmp_path, work))


def test_the_trial_of_a_tokenizer_is_ours_and_another_program_of_its_form_is_not(tmp_path):
    from ftcli.tokenizer.file_check import TRIAL

    def start(code: str) -> None:
        subprocess.run([sys.executable, "-I", "-c", code, "none"], stderr=subprocess.DEVNULL, check=False)

    assert watched(tmp_path, lambda folder: start(TRIAL)) == []
    other = tmp_path / "other"
    other.mkdir()
    assert "started: subprocess.Popen" in watched(other, lambda folder: start("pass"))[0]


def test_work_inside_the_folder_is_no_violation(tmp_path):
    assert watched(tmp_path, write_inside) == []


def test_a_case_is_judged_by_code_output_and_bytes(tmp_path):
    from benchmarks.faults import hostile, sources

    def judged(said: str, code: int, *, late: bool = False, control: bool = False) -> str | None:
        (tmp_path / "said.txt").write_text(said)
        case = sources.Case("one", ["train", "a b"], tmp_path, control=control)
        return hostile.judge(hostile.Ended(case, tmp_path, code, late))

    assert judged("fine", 0) is judged("no", 2) is judged("no", 3) is judged("memory: ran out", 1) is None
    assert judged("fine", 0, control=True) is None and "control ended with 2" in judged("no", 2, control=True)
    assert (
        "exit code -11" in judged("", -11)
        and "exit code 1" in judged("what", 1)
        and "no end" in judged("", -9, late=True)
    )
    assert "traceback" in judged(
        "Traceback (most recent call last):\n  x\nValueError", 2
    ) and "ftcli train 'a b'" in judged("", 9)
    assert "control character" in judged("\x1b[31mred", 2)
    (tmp_path / "written.json").write_text(f"a {hostile.SECRET} b")
    assert "secret of the environment is in written.json" in judged("fine", 0)


@pytest.mark.parametrize("suffix", written_rows.SUFFIXES)
def test_files_of_every_format_are_changed_in_cells_and_in_bytes(suffix):
    from benchmarks.faults import data_cases

    draw = random.Random(1)
    rows = edited_rows.rows_of("sequence-classification", random.Random(2), 8)
    content = written_rows.written(rows, suffix)
    assert content == written_rows.written(copy.deepcopy(rows), suffix)
    assert sum(data_cases.mutated(content, draw) != content for _ in range(20)) >= 18
    found = [data_cases.changed(copy.deepcopy(rows), suffix, draw) for _ in range(60)]
    assert sum(one != content for one in found) >= 50 and len(set(found)) >= 40


def test_a_process_that_dies_or_hangs_is_one_case_and_the_others_are_run(tmp_path, monkeypatch):
    from benchmarks.faults import batches, forks, sources

    def call(words: list[str]) -> int:
        if words[0] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        if words[0] == "3":
            time.sleep(60)
        if words[0] == "4":
            (tmp_path / "outside.txt").write_text("x")
        return 2

    monkeypatch.setattr(forks, "call", call)
    monkeypatch.setattr(batches, "SECONDS", 0.3)
    made = []
    for number in range(6):
        (tmp_path / f"case-{number}").mkdir()
        made.append(sources.Case(str(number), [str(number)], tmp_path / f"case-{number}"))
    found = list(batches.outcomes(iter(made), tmp_path / "processes", workers=1, size=4))
    assert {one.case.name: (one.code, one.late) for one in found} == {
        "0": (2, False), "1": (-9, False), "2": (2, False), "3": (-9, True), "4": (2, False), "5": (2, False)}  # fmt: skip
    recorded = {one.case.name: forks.text_of(one.folder / "violations.txt") for one in found}
    assert "written outside" in recorded.pop("4") and not any(recorded.values())
