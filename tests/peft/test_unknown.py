"""Every method on an architecture whose config has none of the usual fields: it trains, or it is refused by name."""

from __future__ import annotations

import pytest
import tiny_models
import tiny_tasks

from ftcli.config.bundled import conf_files
from ftcli.config.compose import load
from ftcli.errors import ConfigError
from ftcli.run.inputs import load_inputs
from ftcli.run.model import build_model

METHODS = sorted(file.stem for file in conf_files("peft").values() if file.stem != "none")


@pytest.mark.parametrize("method", METHODS)
def test_convnext_trains_or_is_refused(method, tmp_path):
    model = tiny_models.write_model(tmp_path / "model", "convnext")
    rows = tiny_tasks.write_rows(tmp_path / "rows", "image-classification", train=4, validation=4)
    words = [f"peft={method}", "model=local", f"model.path={model}", "model.weights=random", *rows]
    inputs = load_inputs(load(words).config)
    try:
        built = build_model(inputs)
    except ConfigError as error:
        assert error.problems[0].hint
    else:
        assert built.peft.adapter_names <= set(built.plan.phases[0].trainable)
