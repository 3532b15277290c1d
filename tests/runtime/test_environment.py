"""What is recorded of where and how a run was started, and what never reaches the disk."""

import json
import os

from ftcli.runtime.environment import environment


def test_the_environment_holds_versions_and_no_variable(tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "canary-in-the-environment")
    monkeypatch.setenv("FTCLI_ANY", "canary-too")
    found = environment({"device": "cpu", "threads": 1})
    assert found["packages"]["torch"] == torch.__version__
    assert set(found["packages"]) >= {
        "torch",
        "transformers",
        "datasets",
        "peft",
        "hydra-core",
        "omegaconf",
        "numpy",
        "safetensors",
    }
    assert found["decisions"] == {"device": "cpu", "threads": 1} and found["cores"] == os.cpu_count()
    assert found["git_commit"] is None, "tmp_path is no git checkout"
    assert "canary" not in json.dumps(found)
