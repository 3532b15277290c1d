"""Memory that runs out in a step, an evaluation, a save or anywhere else: a message, exit 1, and the run goes on from its checkpoint."""

import errno
import os
import resource
import sys

import pytest
import torch

from ftcli.checkpoint.store import CheckpointStore

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
ERRORS = {
    "python": lambda: MemoryError(),
    "torch": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    "c++": lambda: RuntimeError("std::bad_alloc"),
    "system": lambda: OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "thread": lambda: RuntimeError("can't start new thread"),
}  # fmt: skip
PLACES = {
    "forward": ("ftcli.trainer.step.TrainStep._collate", 30),
    "evaluation": ("ftcli.trainer.evaluation.Evaluator.score", 2),
    "optimizer": ("torch.optim.AdamW.step", 8),
    "save": ("ftcli.checkpoint.store._storable", 3),
    "seal": ("ftcli.storage.atomic.seal", 5),
    "state": ("ftcli.trainer.checkpointing.named_state", 3),
}
"""Where it happens, and at which call."""


def fail_at(monkeypatch, place: str, number: int, make) -> None:
    """Lets a function fail from its n-th call on."""
    import importlib

    module, _, name = place.rpartition(".")
    try:
        owner = importlib.import_module(module)
    except ModuleNotFoundError:
        outer, _, inner = module.rpartition(".")
        owner = getattr(importlib.import_module(outer), inner)
    real, calls = getattr(owner, name), []

    def failing(*values, **named):
        calls.append(1)
        if len(calls) >= number:
            raise make()
        return real(*values, **named)

    monkeypatch.setattr(owner, name, failing)


@pytest.mark.parametrize(
    ("place", "kind"),
    list(zip(PLACES, [*ERRORS, "torch"], strict=True)),
)
def test_a_lack_of_memory_is_said_and_the_last_checkpoint_stands(ftcli, tiny, monkeypatch, place, kind):
    words = [*tiny, "trainer.save_every_n_steps=2", "trainer.micro_batch_size=1", "--run-dir", "run"]
    with monkeypatch.context() as patched:
        fail_at(patched, *PLACES[place], ERRORS[kind])
        done = ftcli("train", *words)
    said = " ".join(done.err.replace("│", " ").split())
    assert done.code == 1 and "Traceback" not in said and done.err.count("╭") == 1, (done.code, said)
    assert "memory" in said
    from ftcli.run.run_dir import RunDir

    store = CheckpointStore(RunDir.find("run").checkpoints, keep=2, readonly=True)
    newest = store.latest()
    assert not store.messages and (newest is not None)
    assert ftcli("resume", "run").code == 0


def test_an_unforeseen_failure_of_the_machine_is_no_traceback(ftcli, monkeypatch):
    for error, said in ((MemoryError(), "memory"), (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file"), "/some/file"),
                        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files")):  # fmt: skip
        monkeypatch.setattr(
            "ftcli.run.run_dir.RunDir.find", lambda _, error=error: (_ for _ in ()).throw(error)
        )
        done = ftcli("resume", "run")
        assert done.code == 1 and said in done.err and done.err.count("╭") == 1, done.err
    monkeypatch.setattr(
        "ftcli.run.run_dir.RunDir.find", lambda _: (_ for _ in ()).throw(RuntimeError("a defect"))
    )
    with pytest.raises(RuntimeError, match="a defect"):
        ftcli("resume", "run")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS binds on Linux alone")
@pytest.mark.parametrize("more_mib", [0, 24])
def test_a_limit_of_the_address_space_ends_in_a_message(ftcli, tiny, tmp_path, more_mib):
    assert ftcli("train", *tiny, "--run-dir", "run").code == 0
    torch.zeros(1)
    log = tmp_path / "stderr"
    pid = os.fork()
    if pid == 0:  # the child has all libraries in; only what the run itself allocates is short
        code = 99
        try:
            os.dup2(os.open(log, os.O_CREAT | os.O_WRONLY), 2)
            sys.stderr = open(2, "w", closefd=False)  # noqa: PTH123, SIM115
            pages = int(open("/proc/self/statm").read().split()[0])  # noqa: PTH123, SIM115
            limit = pages * resource.getpagesize() + more_mib * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            from ftcli.cli.app import main

            sys.argv = ["ftcli", "resume", "run", "trainer.epochs=4"]
            try:
                main()
                code = 0
            except SystemExit as stopped:
                code = stopped.code if isinstance(stopped.code, int) else 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = log.read_text(errors="replace")
    assert code in (0, 1) and "Traceback" not in said, (code, said)
    assert ftcli("resume", "run", "trainer.epochs=4").code == 0


def test_levels_without_end_are_no_traceback(ftcli, monkeypatch):
    monkeypatch.setattr(
        "ftcli.run.run_dir.RunDir.find",
        lambda _: (_ for _ in ()).throw(RecursionError("maximum recursion depth")),
    )
    done = ftcli("resume", "run")
    assert done.code == 2 and "nested too deep" in done.err and done.err.count("╭") == 1, done.err
