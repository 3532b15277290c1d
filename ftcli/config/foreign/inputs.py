"""Model, rows and task as other tools name them."""

from __future__ import annotations

from pathlib import Path

from ftcli.config.bundled import conf_files
from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.choices import answer_choice, slug
from ftcli.config.foreign.values import (
    CLASSES,
    HALF,
    is_none,
    number,
    renamed,
    whole,
)
from ftcli.errors import did_you_mean


def data_set(value: str, typed: Typed) -> Answer:
    """A file, a folder, a choice of ours by any of its names, or a hub id."""
    if value in conf_files("data"):
        return Answer((f"data={value}",))
    named = value and not is_none(value) and not value.startswith(("[", "{"))
    answer = answer_choice("data", value, typed, near=False) if named else None
    return answer or Answer(("data=text",), "and data.path=DIR or data.id=NAME")


def subset(value: str, typed: Typed) -> Answer:
    """The configuration of a hub data set, which may make it one of ours (glue, sst2)."""
    stated = next((typed[key] for key in ("dataset_name", "dataset") if typed.get(key)), "")
    return data_set(stated, typed) if stated else renamed("data.subset", none="null")(value, typed)


def task_name(value: str, typed: Typed) -> Answer:
    """A task of GLUE in run_glue.py, a task elsewhere."""
    glue = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli")
    if slug(value) in glue:
        return data_set(f"glue/{slug(value)}", typed)
    return answer_choice("task", value, typed) or Answer(
        note=f"task: {did_you_mean(value, conf_files('task'))}"
    )


def folder_of_rows(value: str, typed: Typed) -> Answer:
    """A folder, or a file after all."""
    answer = data_set(value, typed) if value and Path(value).suffix else Answer()
    folder = "DIR" if is_none(value) else value or "DIR"
    return answer if answer.words else Answer((f"data.path={folder}",), needs="data=text")


def validation_share(value: str, typed: Typed) -> Answer:
    """A share of the training rows; a number of rows has no counterpart."""
    found = number(value)
    why = "a number of rows is not read" if found is not None and found >= 1 else ""
    return renamed("data.validation_share", HALF, none="null", off_below=1e-12, why=why)(
        value or "0.1", typed
    )


def validation_percentage(value: str, typed: Typed) -> Answer:
    """A percentage of the training rows."""
    found = number(value or "5")
    share = value if found is None else f"{found / 100:g}"
    return renamed("data.validation_share", HALF, none="null")(share, typed)


def num_labels(value: str, typed: Typed) -> Answer:
    """One label is a regression in Transformers; a regression has one output here."""
    stated = next((typed[k] for k in ("task", "task_type", "problem_type", "task_name") if typed.get(k)), "")
    task = answer_choice("task", stated, typed) if stated else None
    if task and task.words == ("task=regression",):
        return Answer(note="leave it out: a regression has one output")
    if whole(value) == 1 and not task:
        return Answer(
            ("task=regression",), "as num_labels=1 is in Transformers; two classes are num_labels=2"
        )
    return renamed("task.num_labels", CLASSES, none="null")(value, typed)


def model(value: str, typed: Typed) -> Answer:
    """A folder, a choice of ours by its hub id, or any other hub id."""
    named = value and not is_none(value)
    answer = answer_choice("model", value, typed, near=False) if named else None
    return answer or Answer(note="model=local takes model.path=DIR or model.id=NAME")
