"""Run directories with the least that makes one."""

import os
from pathlib import Path

from ftcli.run.run_dir import RunDir


def make_run(path: Path, started_ns: int | None = None) -> RunDir:
    run = RunDir(path)
    path.mkdir(parents=True)
    run.write_json("environment.json", {})
    run.write_text("config.yaml", "seed: 1\n")
    if started_ns is not None:
        os.utime(run.environment_json, ns=(started_ns, started_ns))
    return run
