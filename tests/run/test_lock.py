"""Who writes a run directory: one process at a time."""

import json
import multiprocessing
import os
import signal
import socket
from pathlib import Path

import pytest
from run_dirs import make_run

from ftcli.errors import RunDirError
from ftcli.run.run_dir import RunDir

# Python 3.12 and later warn of every fork beside torch's threads; the children here start none.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hold(path: str, ready, release) -> None:
    with RunDir(Path(path)).locked():
        ready.set()
        release.wait(30)


def test_the_second_process_is_refused_with_the_owner(here):
    make_run(Path("given"))
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    owner = context.Process(target=hold, args=(str(here / "given"), ready, release))
    owner.start()
    assert ready.wait(60)
    try:
        with pytest.raises(RunDirError) as caught, RunDir(Path("given")).locked():
            pytest.fail("two owners")
        assert f"process {owner.pid} on {socket.gethostname()}" in str(caught.value)
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.join()
    # A dead owner's lock blocks nobody, whatever its file still says.
    assert str(owner.pid) in Path("given/.lock").read_text()
    with RunDir(Path("given")).locked():
        assert str(os.getpid()) in Path("given/.lock").read_text()


def test_the_refused_one_deletes_nothing_of_the_first(here):
    """Both were given the same new directory; the first has not written its config.yaml yet."""
    with RunDir.create("recipe", run_dir=Path("given")) as first:
        first.write_json("plan.json", {"first": True})
        with (
            pytest.raises(RunDirError, match="is being written by process"),
            RunDir.create("recipe", run_dir=Path("given")),
        ):
            pytest.fail("two owners")
        assert json.loads(first.plan_json.read_text()) == {"first": True}
        first.write_text("config.yaml", "seed: 1\n")
    assert RunDir.existing(Path("given")) is not None


def test_of_many_that_start_at_once_one_wins_and_is_whole(here):
    def work(number: int) -> int:
        try:
            with RunDir.create("recipe", run_dir=Path("given")) as run:
                for name in ("plan.json", "data.json", "config.yaml"):
                    run.write_json(name, {"owner": number})
            return 0
        except RunDirError:
            return 1

    pids = []
    for number in range(12):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                code = work(number)
            finally:
                os._exit(code)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert sorted(codes) == [0] + [1] * 11
    for name in ("plan.json", "data.json", "config.yaml"):
        assert json.loads(Path("given", name).read_text()) == {"owner": codes.index(0)}


def test_a_lock_whose_file_was_deleted_is_no_lock(here, monkeypatch):
    """The owner before us gave the directory up between our open and our lock."""
    import fcntl

    make_run(Path("given"))
    real = fcntl.flock

    def lock_after_deletion(file, flags):
        Path("given/.lock").unlink()
        real(file, flags)

    monkeypatch.setattr(fcntl, "flock", lock_after_deletion)
    with pytest.raises(RunDirError, match="given up by another process"), RunDir(Path("given")).locked():
        pytest.fail("locked nothing")
