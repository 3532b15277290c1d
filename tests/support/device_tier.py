"""The tests that run on another device: `pytest --device cuda`, and `--device imitated` to rehearse them without one."""

from __future__ import annotations

import os

import pytest

PACKAGES = ("trainer", "task", "peft", "checkpoint", "export", "model")
"""Folders of tests/ whose tests run on the device."""
WITHOUT = "there is no CUDA device here"


def add_option(parser) -> None:
    parser.addoption("--device", default="cpu", choices=["cpu", "cuda", "imitated"],
                     help="cuda: the tests of trainer, tasks, PEFT, checkpoints, export and models on a GPU")  # fmt: skip


def configure(config) -> None:
    """Makes the device the one that `trainer.device=auto` takes, before anything asks torch."""
    config.addinivalue_line("markers", "cpu(reason): says something of the CPU alone")
    device = config.getoption("--device")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    else:
        import tiny_runs

        tiny_runs.DEVICE = "cuda"
    if device == "imitated":
        import imitated_cuda

        imitated_cuda.install()
    if device == "cuda":
        # torch asks for it where the same bytes are expected twice; it counts before cuBLAS is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def choose(config, items: list) -> list:
    """Returns the tests of the tier: all on the CPU, those of PACKAGES elsewhere, skipped where the device is missing."""
    device = config.getoption("--device")
    if device == "cpu":
        return items
    import torch

    tests = config.rootpath / "tests"
    chosen = [
        item
        for item in items
        if item.path.is_relative_to(tests) and item.path.relative_to(tests).parts[0] in PACKAGES
    ]
    for item in chosen:
        mark = item.get_closest_marker("cpu")
        if mark:
            item.add_marker(pytest.mark.skip(reason=f"of the CPU: {mark.args[0]}"))
        elif not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason=WITHOUT))
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    return chosen
