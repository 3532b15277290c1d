"""Runs to export: tiny models with weights in a folder, trained for a few steps."""

from __future__ import annotations

from pathlib import Path

import tiny_models
import tiny_tasks


def write_weights(folder: Path, architecture: str) -> Path:
    """Writes config.json, tokenizer and the weights of the base model, without a head."""
    import torch
    from transformers import AutoConfig, AutoModel
    from transformers.utils import logging

    if (folder / "model.safetensors").is_file():
        return folder
    tiny_models.write_model(folder, architecture)
    logging.disable_progress_bar()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModel.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    if architecture in tiny_models.IMAGES:
        write_processor(folder)
    return folder


def write_processor(folder: Path) -> None:
    """Writes the preprocessing of an image model of 16 or 32 pixels."""
    import json

    size = json.loads((folder / "config.json").read_text())["image_size"]
    stated = {"image_processor_type": "ViTImageProcessor", "size": {"height": size, "width": size}}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))


def words(place: Path, task: str, architecture: str, *own: str) -> list[str]:
    """Returns the words of a run of three steps."""
    rows = tiny_tasks.write_rows(place / "rows" / task, task, train=24, validation=8)
    model = write_weights(place / "models" / architecture, architecture)
    base = ["model=local", f"model.path={model}", "trainer.batch_size=8", "trainer.precision=fp32", "logger=jsonl",
            "trainer.max_steps=3", "trainer.eval_batch_size=3", "optimizer.lr=3e-2", "data.accept=[truncation,balance]"]  # fmt: skip
    return [*base, *rows, *own]


def reload_in_process(monkeypatch) -> list[dict]:
    """Lets the reloading script run in this process, as one of its own takes seconds to begin; returns its reports."""
    import json
    import tempfile

    from ftcli.export import parity, reload
    from ftcli.hub.resolve import quiet_transformers

    reports: list[dict] = []

    def here(folder, finished, inputs, ways):
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "inputs.safetensors"
            inputs.save(file)
            entry = json.loads(json.dumps(parity.entry_of(folder, finished, inputs, ways, file)))
            with quiet_transformers():  # its log would go to a stream that an earlier test has closed
                outputs, report = reload.run(entry)
        reports.append(report)
        return {name: tensor.numpy() for name, tensor in outputs.items()}, report

    monkeypatch.setattr(parity, "in_fresh_process", here)
    return reports
