"""Evaluation, checkpoints, metrics and the folder of a run as other tools set them."""

from __future__ import annotations

import re

from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.choices import answer_choice, metric_name, slug
from ftcli.config.foreign.values import (
    COUNT,
    is_none,
    is_on,
    listed,
    number,
    renamed,
    steps,
    switch,
)
from ftcli.config.registry import names_of, split_name
from ftcli.errors import did_you_mean, typed_words

EVAL_STEPS, SAVE_STEPS = "trainer.eval_every_n_steps", "trainer.save_every_n_steps"
_TRAIN_FLAG = "a flag of ftcli train"


def when_evaluated(value: str, typed: Typed) -> Answer:
    """`steps`, `epoch` or `no`; the Trainer's eval_steps are its 500 logging_steps unless typed."""
    if slug(value) == "steps":
        return steps(EVAL_STEPS)(typed.get("eval_steps") or typed.get("logging_steps") or "500", typed)
    if slug(value) == "no":
        return Answer(
            note="leave it out: every run is evaluated, at the end of each epoch, to find its best checkpoint"
        )
    return Answer((f"{EVAL_STEPS}=null",), "each epoch, the default")


def val_check_interval(value: str, typed: Typed) -> Answer:
    """Lightning: a whole number is steps, a number with a point is a share of an epoch, 1.0 the end of each."""
    if "." in value and number(value) == 1:
        return Answer((f"{EVAL_STEPS}=null",), "each epoch, the default")
    return steps(EVAL_STEPS, none="null")(value, typed)


def when_saved(value: str, typed: Typed) -> Answer:
    """`steps`, `epoch`, `best` or `no`; a checkpoint is saved at each evaluation."""
    if slug(value) == "steps":
        return steps(SAVE_STEPS)(typed.get("save_steps") or "500", typed)
    return Answer((f"{SAVE_STEPS}=null",), "at each evaluation, the default; best and last are kept")


def best_metric(value: str, typed: Typed) -> Answer:
    """The first of task.metrics decides which checkpoint is best, unless trainer.monitor names another."""
    if is_none(value):
        return Answer(note="leave it out: the first of task.metrics decides which checkpoint is best")
    name = (metric_name(value) or slug(value)) if value else "accuracy"
    if name == "loss":
        return Answer(("trainer.monitor=loss",))
    stated = listed(next((typed[k] for k in ("task.metrics", "metrics", "metric") if typed.get(k)), ""))
    scored = [metric_name(one) or one for one in stated]
    if name in scored:
        return Answer((f"trainer.monitor={name}",))
    if wrong := _wrong_metric(name):
        return Answer(note=wrong)
    words = (f"task.metrics=[{','.join([name, *scored])}]",)
    return Answer(words, "the first one decides which checkpoint is best")


def metric_list(value: str, typed: Typed) -> Answer:
    """Names of metrics, each by our name of it."""
    ours = [metric_name(name) or slug(name) for name in listed(value)] or ["accuracy"]
    if wrong := next(filter(None, map(_wrong_metric, ours)), ""):
        return Answer(note=wrong)
    return Answer((f"task.metrics=[{','.join(ours)}]",))


def _wrong_metric(name: str) -> str:
    known = names_of("metric")
    if split_name(name)[0] in known:
        return ""
    kind = next((one for one in known if name.startswith(f"{one}-")), name)  # f1-weighted: f1
    return f"there is no metric {name!r}: {did_you_mean(kind, known)}"


def early_stopping(value: str, typed: Typed) -> Answer:
    """A switch, or how many evaluations without improvement end a run."""
    found = number(value)
    if found is not None and found not in (0, 1):
        return renamed("trainer.patience", COUNT, none="null")(value, typed)
    rule = switch(
        Answer(("trainer.patience=3",), "evaluations without improvement"),
        rivals="patience early_stopping_patience early_stopping_rounds",
    )
    return rule(value, typed)


def run_dir(value: str, typed: Typed) -> Answer:
    """A folder for the run is a flag: it is not part of the configuration."""
    return Answer(("--run-dir", "DIR" if is_none(value) else value or "DIR"), _TRAIN_FLAG)


def run_name(value: str, typed: Typed) -> Answer:
    """A run is named by its folder."""
    return Answer(("--run-dir", f"runs/{'NAME' if is_none(value) else value or 'NAME'}"), _TRAIN_FLAG)


def resumed(value: str, typed: Typed) -> Answer:
    """A run directory, or a checkpoint in it, is continued by a command of its own."""
    if not is_on(value):
        return Answer(note="leave it out: ftcli train begins a new run")
    folder = "last" if slug(value) in ("", "true", "auto", "latest", "last") else value
    run = re.sub(r"/(checkpoints/[^/]+|(checkpoint|step)-\d+)/?$", "", folder)
    return Answer(note=f"type ftcli resume {typed_words(run)}, a command of its own")


def reported(value: str, typed: Typed) -> Answer:
    """A logger, or a list of them; the switches of single services say their own name."""
    name = next(iter(listed(value)), "all")
    return answer_choice("logger", "wandb" if slug(name) in ("true", "1") else name, typed) or Answer(
        ("logger=tensorboard",), f"there is no logger named {name}"
    )
