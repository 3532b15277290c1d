"""What a continued run does with a change of every field there is: recorded, with --allow-change, or refused."""

import copy
import dataclasses
import shutil

import pytest
from omegaconf import OmegaConf

from ftcli.config.compose import load
from ftcli.config.dotted import leaves
from ftcli.config.fields import OnResume
from ftcli.config.recipes import recipes
from ftcli.config.saved import tag_of
from ftcli.errors import ConfigError
from ftcli.run.resume import accepted_changes

RECORDED = {"trainer.epochs", "trainer.max_steps", "trainer.log_every_n_steps", "trainer.eval_every_n_steps",
            "trainer.save_every_n_steps", "trainer.keep_checkpoints", "trainer.patience", "trainer.min_delta"}  # fmt: skip
WORDS = [[], [f"recipe={min(recipes())}"], ["freezing=gradual", "scheduler=plateau"],
         ["freezing=patterns", "freezing.train=[head]", "optimizer=sgd"], ["peft=prefix-tuning", "logger=tensorboard"],
         ["freezing=bottom-layers", "seeds=[1,2]", "optimizer.layerwise.kind=geometric"]]  # fmt: skip


def other(value):
    """Returns another value of the same kind."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}-other" if isinstance(value, str) else [*value, "other"]


def with_change(composed, values, key):
    plain = copy.deepcopy(values)
    place, *rest = plain, *key.split(".")
    for name in rest[:-1]:
        place = place[name]
    place[rest[-1]] = other(place[rest[-1]])
    return dataclasses.replace(composed, values=OmegaConf.create(plain)), place[rest[-1]]


@pytest.mark.parametrize("words", WORDS, ids=lambda words: "-".join(words)[:60])
def test_a_change_of_every_field_is_recorded_or_named_and_refused(words):
    saved = load(words)
    values = OmegaConf.to_container(saved.values, resolve=True, enum_to_str=True)
    keys = [key for key, _ in leaves(values)]
    assert len(keys) > 60 and RECORDED | {"seed", "seeds", "num_seeds"} <= set(keys)
    assert accepted_changes(saved, saved, frozenset()) == {}
    for key in keys:
        changed, value = with_change(saved, values, key)
        tag = tag_of(saved.config, key)
        assert (tag is OnResume.recorded) == (key in RECORDED), key
        assert (tag is OnResume.allow_change) <= key.startswith("freezing."), key
        if tag is OnResume.recorded:
            assert accepted_changes(saved, changed, frozenset()) == {key: value}
            continue
        with pytest.raises(ConfigError) as error:
            accepted_changes(saved, changed, frozenset())
        (problem,) = error.value.problems
        assert problem.key == key
        if tag is OnResume.allow_change:
            assert problem.hint == "add --allow-change freezing"
            assert accepted_changes(saved, changed, frozenset({"freezing"})) == {key: value}
        else:
            assert "start a new run" in problem.hint and "trainer.epochs" in problem.hint
            with pytest.raises(ConfigError):
                accepted_changes(saved, changed, frozenset({"freezing"}))


def said(done) -> str:
    return " ".join((done.out + done.err).replace("│", " ").split())


def test_a_parent_of_seeds_refuses_what_a_single_run_refuses(ftcli, tiny):
    run = [*tiny, "trainer.epochs=1", "seeds=[1,2]", "--run-dir", "parent"]
    assert ftcli("train", *[word for word in run if word != "trainer.epochs=2"]).code == 0
    shutil.rmtree(
        "parent/seed-2"
    )  # its training had not begun: it would take the new words without a comparison
    for word in ("optimizer.lr=1", "seeds=[1,3]", "trainer.batch_size=4", "data.seed=5"):
        done = ftcli("resume", "parent", word)
        assert (
            done.code == 2
            and f"{word.partition('=')[0]} this would change the run that is continued" in said(done)
        ), said(done)
    single = ftcli("resume", "parent/seed-1", "seeds=[1,2]")
    assert single.code == 2 and "seeds this would change" in said(single)
    swapped = ftcli(
        "train", *[word for word in run if word != "trainer.epochs=2"], "scheduler=cosine", "--resume"
    )
    assert swapped.code == 2 and "scheduler is linear in the run" in said(swapped)
    assert ftcli("resume", "parent").code == 0


def test_changes_without_effect_and_those_that_reach_the_steps_are_refused(ftcli, tiny):
    words = [
        *tiny,
        "freezing=gradual",
        "freezing.num_phases=2",
        "scheduler=plateau",
        "scheduler.warmup=0",
        "--run-dir",
        "run",
    ]
    assert ftcli("train", *words).code == 0
    done = ftcli("resume", "run", "freezing.start_phase=1", "--allow-change", "freezing")
    assert done.code == 2 and "says how a run begins" in said(done), said(done)
    done = ftcli("resume", "run", "trainer.eval_every_n_steps=2", "trainer.epochs=3")
    assert done.code == 2 and "scheduler=plateau lowers the lr by the scores" in said(done), said(done)
    assert ftcli("resume", "run", "trainer.epochs=3").code == 0
