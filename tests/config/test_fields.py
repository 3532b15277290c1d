"""Bounds and resume tags stand on the fields."""

import pytest

from ftcli.config.compose import load
from ftcli.config.fields import OnResume, on_resume, wrong_value
from ftcli.config.saved import tag_of
from ftcli.config.schema import ModelConfig, OptimizerConfig, TrainerConfig
from ftcli.errors import ConfigError


@pytest.mark.parametrize(("key", "tag"), [
    ("trainer.epochs", OnResume.recorded), ("trainer.patience", OnResume.recorded), ("trainer.keep_checkpoints", OnResume.recorded),
    ("trainer.batch_size", OnResume.refused), ("optimizer.lr", OnResume.refused), ("optimizer.layerwise.decay", OnResume.refused),
    ("freezing.num_phases", OnResume.allow_change), ("freezing.start_phase", OnResume.allow_change),
    ("seed", OnResume.refused), ("freezing", OnResume.refused),
])  # fmt: skip
def test_the_tag_says_what_resume_does_with_a_change(key, tag):
    assert tag_of(load(["freezing=gradual"]).config, key) is tag


def test_a_field_without_a_tag_is_refused():
    assert on_resume(OptimizerConfig, "lr") is OnResume.refused


@pytest.mark.parametrize(("word", "said"), [
    ("trainer.epochs=nan", "not nan or infinite"), ("trainer.epochs=inf", "not nan or infinite"),
    ("trainer.epochs=1e400", "not nan or infinite"), ("trainer.epochs=0", "above 0"), ("trainer.epochs=1e9", "at most 1000000"),
    ("num_seeds=1000000000", "from 1 to 1000"), ("trainer.threads=2147483648", "at most 1024"), ("trainer.threads=0", "at least 1"),
    ("task.num_labels=100000000", "at most 100000"), ("task.num_labels=1", "at least 2"), ("model.dropout=1", "below 1"),
    ("data.validation_share=0", "above 0"), ("data.validation_share=0.6", "at most 0.5"), ("trainer.max_grad_norm=0", "above 0"),
    ("optimizer.lr=nan", "not nan"), ("optimizer.lr=inf", "not nan"), ("optimizer.betas=[0.9,nan]", "not nan"),
    ("trainer.batch_size=99999999999999999999", "at most 2147483647"), ("data.seed=-1", "at least 0"),
    ("model.path=" + "a" * 5000, "4096 characters"), ("model.path=a\0b", "control characters"), ("model.path=a\udcffb", "UTF-8"),
])  # fmt: skip
def test_values_out_of_bounds_are_refused_with_the_key(word, said):
    with pytest.raises(ConfigError) as refused:
        load([word])
    [problem] = refused.value.problems
    assert problem.key == word.partition("=")[0] and said in problem.hint
    assert len(problem.message) < 300


def test_the_edges_are_allowed():
    config = load(
        [
            "trainer.threads=1024",
            "task.num_labels=2",
            "model.dropout=0",
            "data.validation_share=0.5",
            "num_seeds=1000",
        ]
    ).config
    assert (config.trainer.threads, config.model.dropout, len(config.seeds)) == (1024, 0.0, 1000)
    assert wrong_value(TrainerConfig, "micro_batch_size", None) == ""
    assert wrong_value(ModelConfig, "published.batch_size", 0) == "expected at least 1"
