"""Every YAML of the role fills its config class, and names the columns its data set really has."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ftcli.config.bundled import bundled
from ftcli.config.registry import lookup


def load(name):
    values = OmegaConf.load(bundled("conf") / "data" / f"{name}.yaml")
    entry = lookup("data", values.pop("uses", name))
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(entry.config_class), values))


NAMELESS = ("text", "commonsenseqa-jsonl", "science-exam", "images", "mnist", "cifar10")


@pytest.mark.parametrize("name", sorted(p.stem for p in Path(bundled("conf") / "data").glob("*.yaml")))
def test_yaml_fits_the_schema(name):
    # These name no rows by themselves: that is what their one problem says.
    assert [problem.key for problem in load(name).problems()] == (["data.path"] if name in NAMELESS else [])


def test_published_sets():
    sst2, rte = load("sst2"), load("rte")
    assert (sst2.id, sst2.columns.text, sst2.label_names) == (
        "stanfordnlp/sst2",
        "sentence",
        ["negative", "positive"],
    )
    assert (rte.id, rte.subset) == ("nyu-mll/glue", "rte")
    assert (rte.columns.text, rte.columns.text_pair) == ("sentence1", "sentence2")
    assert rte.label_names == ["entailment", "not_entailment"]
