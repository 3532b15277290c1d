"""The YAML of each choice of the plan side has the fields, and the values, of its config class."""

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from ftcli.config.choice import typed_choice
from ftcli.config.registry import lookup
from ftcli.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
CHOICES = [
    (role, path.stem) for role in ("freezing", "peft", "optimizer", "scheduler") for path in sorted((CONF / role).glob("*.yaml"))
]  # fmt: skip


@pytest.mark.parametrize(("role", "choice"), CHOICES)
def test_yaml_names_every_field_and_is_in_range(role, choice):
    values = yaml.safe_load((CONF / role / f"{choice}.yaml").read_text())
    config = lookup(role, values.pop("uses", choice)).config_class
    assert set(values) == set(asdict(config()))
    waiting = {("freezing", "patterns"), ("freezing", "schedule")}  # for lists, for a file
    if (role, choice) not in waiting:
        typed_choice(role, choice, {}, "conf")  # raises what is out of range


def test_fused_is_refused_where_torch_has_none():
    entry = lookup("optimizer", "adamw")
    with pytest.raises(ConfigError, match="no fused AdamW on xla"):
        entry.build(entry.config_class(fused=True), [], device_type="xla")


def test_nesterov_needs_momentum():
    config = lookup("optimizer", "sgd").config_class(momentum=0.0, nesterov=True)
    assert [p.key for p in config.problems()] == ["optimizer.nesterov"]
