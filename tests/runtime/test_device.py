"""Device, precision and threads: decided by rule."""

import itertools
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from ftcli.config.schema import Device, Precision
from ftcli.errors import ConfigError
from ftcli.runtime import device

NO_CUDA = not torch.cuda.is_available()


def test_importing_it_does_not_import_torch():
    code = "import ftcli.runtime.device, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not NO_CUDA, reason="there is a GPU")
def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(ConfigError) as caught:
        device.decide_device(Device.cuda)
    assert caught.value.problems[0].key == "trainer.device" and "no cuda" in caught.value.problems[0].message
    assert device.decide_device(Device.cpu) == "cpu"


def test_auto_takes_what_is_here():
    expected = "cuda" if not NO_CUDA else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device.decide_device(Device.auto) == expected


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_on_the_cpu_is_bf16_only_where_it_is_native(monkeypatch, native):
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: native)
    assert device.decide_precision(Precision.auto, "cpu")[0] == ("bf16" if native else "fp32")
    precision, reason = device.decide_precision(Precision.bf16, "cpu")
    assert precision == "bf16" and ("slow" in reason) is not native
    assert device.decide_precision(Precision.fp32, "cpu") == ("fp32", "as set")
    assert device.decide_precision(Precision.auto, "mps")[0] == "fp32"


@pytest.mark.parametrize(("bf16", "amx"), [(True, False), (False, True), (False, False)])
def test_torch_is_asked_about_the_cpu(monkeypatch, bf16, amx):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert device.cpu_multiplies_bf16() is (bf16 or amx)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux only")
def test_the_flags_stand_in_where_torch_has_no_names(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line for line in lines if line.startswith(("flags", "Features"))).split()
    assert device.cpu_multiplies_bf16() is any(flag in flags for flag in ("amx_bf16", "avx512_bf16", "bf16"))


def test_threads_that_cannot_be_started_are_refused_before_openmp_ends_the_process(monkeypatch):
    """libgomp answers a limit on threads with exit code 1 and no word of ours."""
    real, count = threading.Thread.start, itertools.count(1)

    def start(thread):
        if next(count) > 3:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(threading.Thread, "start", start)
    before, running = torch.get_num_threads(), threading.active_count()
    with pytest.raises(ConfigError) as caught:
        device.set_threads(1000)
    problem = caught.value.problems[0]
    assert problem.message == "1,000 threads cannot be started here: after 3 the system gives no more"
    assert (problem.key, problem.hint) == ("trainer.threads", "type trainer.threads=2")
    assert (torch.get_num_threads(), threading.active_count()) == (before, running)


def test_threads_are_set_and_returned():
    before = torch.get_num_threads()
    try:
        assert device.set_threads(1) == 1 == torch.get_num_threads()
        assert device.set_threads(None) == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_multiplies_in_the_precision(precision, dtype):
    with device.autocast("cpu", precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_only_fp16_is_scaled():
    assert device.grad_scaler("cpu", "fp16").is_enabled()
    assert (
        not device.grad_scaler("cpu", "bf16").is_enabled()
        and not device.grad_scaler("cpu", "fp32").is_enabled()
    )


def test_memory_is_bytes_of_this_process():
    used = device.memory_used("cpu")
    if sys.platform == "linux":
        status = Path(f"/proc/{os.getpid()}/status").read_text()
        peak = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        assert peak * 0.9 <= used <= peak * 1.1
    assert used >= resource.getpagesize()


def test_threads_of_a_larger_machine_are_not_set_here(monkeypatch):
    """A run directory may say any number; thousands of threads on few cores take minutes for a step."""
    import torch

    from ftcli.config.compose import load
    from ftcli.runtime.decide import decide_runtime

    config, before = load([]).config, torch.get_num_threads()
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    kept = {"attention": "eager", "precision": "fp32"}
    try:
        runtime = decide_runtime(config, 24, {**kept, "threads": 4096})
        assert runtime.threads == 2 and runtime.decisions[0] == (
            "the run had 4,096 threads, too many for 2 cores: it has 2 here, and its last digits may differ"
        )
        assert decide_runtime(config, 24, {**kept, "threads": 8}).threads == 8
    finally:
        torch.set_num_threads(before)
