"""Words that a configuration may hold: choices, and values of every type and range drawn for the fields of the schema; seeded.

They pass the grammar and the types. Whether the combination may train is the product's word: about half of them may.
"""

from __future__ import annotations

import functools
import random
import types
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import tiny_tasks

from ftcli.config.bundled import conf_files
from ftcli.config.fields import LARGEST_INT, Bounds
from ftcli.config.registry import lookup, names_of
from ftcli.config.schema import DATA_CHECKS, RunConfig
from ftcli.config.strict_files import read_strictly

ROLES = ("freezing", "peft", "optimizer", "scheduler", "logger")
"""Roles whose choice is drawn; those of model, tokenizer and data go with the rows."""
SHARES = ("0", "0.1", "0.0", "1st", "2st", "0.5ep", "1ep", "0.999", "'0.25'", "00.5")
TEXTS = {
    "scheduler.warmup": SHARES, "scheduler.decay": SHARES, "peft.tinit": SHARES, "peft.tfinal": SHARES, "peft.layers": ("'-1:'", "'0:1'", "0", "1", "'0:2'", "':1'", "'-2:'"),
    "peft.prompt_tuning_init_text": ("the", "'the film was good'", "unknown", "'a, b'"), "data.encoding": ("utf-8", "utf8", "latin-1", "UTF-8", "ascii", "utf-8-sig"),
    "data.separator": ("tab", "comma", "pipe", "space"), "model.revision": ("main", "v1"), "model.published.optimizer": ("adamw", "sgd"), "trainer.monitor": ("loss",),
    "optimizer.no_decay": ("[]", "[biases]", "[norms]", "['.*bias']", "['.*']", "[biases,'.*norm.*']"), "optimizer.betas": ("[0.9,0.99]", "[0,0]", "[0.5,0.999999]", "[.9,0]"),
    "peft.target_modules": ("[all-linear]", "[query]", "[query,value]", "[dense]", "[c_attn]", "[q_lin,v_lin]"), "peft.rank_pattern": ("[]", "['query: 2']", "['.*: 3']"),
    "peft.alpha_pattern": ("[]", "['value: 1']"), "data.accept": ("[]", "[overlap,duplicates]", f"[{','.join(DATA_CHECKS)}]"), "seeds": ("[3]", "[1,2]"),
    "freezing.train": ("['.*']", "['.*layer.*']", "['.*(bias|weight)']"), "freezing.freeze": ("[]", "['.*embedding.*']", "['.*bias']"),
}  # fmt: skip
"""Texts and lists: key -> values; other keys of these types are left out, as they name columns, files and labels."""
TOGETHER = (
    ("optimizer.layerwise.kind=geometric", "optimizer.layerwise.decay=0.5"), ("optimizer.layerwise.kind=cosine", "optimizer.layerwise.decay=0.0"),
    ("optimizer.layerwise.kind=table", "optimizer.layerwise.table=['layers[0]: 0.1','head: 3']"), ("optimizer.layerwise.kind=geometric", "optimizer.layerwise.head_multiplier=10"),
    ("trainer.batch_size=3", "trainer.micro_batch_size=2"), ("trainer.token_budget=64", "trainer.micro_batch_size=auto"), ("trainer.eval_every_n_steps=1", "trainer.patience=1"),
    ("trainer.prefix_cache=disk", "freezing=bottom-layers", "trainer.max_steps=6"), ("freezing=head-only", "trainer.max_steps=6", "trainer.log_every_n_steps=1"),
    ("freezing=gradual", "trainer.max_steps=7", "freezing.epoch_transitions_only=true"), ("freezing=bottom-layers", "freezing.num_layers=0"), ("data.limit_train=1",),
    ("data.limit_train=5", "data.limit_validation=1"), ("trainer.save_every_n_steps=1", "trainer.keep_checkpoints=1"), ("num_seeds=2", "seed=0"), ("trainer.precision=bf16",),
    ("optimizer=sgd", "optimizer.nesterov=true"), ("tokenizer.overlength=drop", "tokenizer.max_length=8"), ("scheduler=plateau", "trainer.eval_every_n_steps=1"),
    ("trainer.gradient_checkpointing=true", "model.attention=eager"), ("trainer.fast_paths=false", "model.dropout=0"), ("peft=lora", "peft.r=1", "peft.use_dora=true"),
)  # fmt: skip
"""Words that mean something together."""
RARELY = (
    "model.dtype",
    "optimizer.layerwise.kind",
    "optimizer.layerwise.decay",
    "optimizer.layerwise.table",
    "scheduler.total_steps",
    "data.validation_share",
    "task.num_labels",
)
"""Fields most values of which are refused beside the others' own."""
COUNTS = (1, 1, 2, 3, 4, 7, 8, 16)
NUMBERS = ("0.5", "0.1", ".25", "0.9", "1e-3", "5e-1", "0.999999", "1e-12", "0.30000000000000004", "1")
EXTREMES = {
    int: ("0", "-1", "1", str(LARGEST_INT), str(LARGEST_INT + 1), str(LARGEST_INT - 1), "1000000", "65536", "99991", "5000", "33"),
    float: ("0", "-0.0", "1e308", "-1e308", "1e-308", "5e-324", "1e38", "1e-45", "1e16", "1000000", "-1", "1", "0.9999999999999999", "2", "1e-7"),
}  # fmt: skip
TEXT_EXTREMES = (
    "peft.rank_pattern=['query: 999999999999999999999']", "peft.alpha_pattern=['.*: 2147483648']", "peft.layers='99999999999999999999:'", "peft.layers='::99999999999'",
    "scheduler.warmup=2147483647st", "scheduler.warmup=0.0000000001ep", "scheduler.decay=2147483647ep", "peft.tinit=2147483647st", "optimizer.betas=[0,0.9999999999999999]",
    "optimizer.layerwise.table=['head: 1e308','layers[0]: 1e-320']", "optimizer.no_decay=['(a|a)*b']", "freezing.train=['(.*)*x']", "data.label_names=[a]",
    "data.label_names=[positive,positive]", "task.metrics=[accuracy,accuracy]", "task.metrics=[map@99999999999]", "task.metrics=[hits@0]", "trainer.monitor=f1@class",
    "data.columns.text=label", "data.columns.label=text", "data.columns.text_pair=text", "data.columns.choices=[text,label]", "seeds=[1,1]", "data.encoding=utf-16",
    "data.encoding=idna", "data.encoding=rot13", "data.encoding=zip", "data.separator='\\n'", "data.header=[a]", "data.format=parquet", "data.format=conll", "data.format=txt",
    "tokenizer=folder", "tokenizer=processor", "model=gpt2", "data=images", "data=squad", "task.label_columns=[text]", "task.label_columns=[]", "task.separator=''",
    "peft.prompt_tuning_init_text=''", "peft.feedforward_modules=[]", "peft.target_modules=[LayerNorm]", "peft.target_modules=['.*']", "peft.target_modules=[classifier]",
)  # fmt: skip
"""Texts that their types allow."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the schema."""

    key: str
    kinds: tuple[Any, ...]
    """Types that a value may have; NoneType among them where it may be null."""
    bounds: Bounds


@functools.cache
def fields_of(cls: Any, prefix: str) -> tuple[Field, ...]:
    """Returns the fields of a configuration class, those of nested classes included."""
    hints, found = get_type_hints(cls, include_extras=True), list[Field]()
    for item in fields(cls):
        kind, key = hints[item.name], f"{prefix}.{item.name}"
        extras: tuple[Any, ...] = ()
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            extras = tuple(more)
        if is_dataclass(kind):
            found += fields_of(kind, key)
            continue
        kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
        bounds = next((one for one in extras if isinstance(one, Bounds)), Bounds())
        found.append(Field(key, kinds, bounds))
    return tuple(found)


def fields_under(chosen: dict[str, str]) -> list[Field]:
    """Returns the fields that a configuration of these choices has: those of each choice, or of the role's base."""
    found = list[Field]()
    for role, base in get_type_hints(RunConfig).items():
        if is_dataclass(base):
            file = conf_files(role).get(chosen.get(role, ""))
            uses = read_strictly(file).get("uses", chosen[role]) if file else None
            found += fields_of(lookup(role, str(uses)).config_class if uses else base, role)
    return found


def value_of(draw: random.Random, field: Field, metrics: list[str]) -> str | None:
    """Returns a value within type and range as it is typed, odd writings among them; None: none is known."""
    kinds = [kind for kind in field.kinds if kind is not type(None)]
    if len(kinds) < len(field.kinds) and draw.random() < 0.1:
        return "null"
    kind = draw.choice(kinds)
    if field.key == "task.metrics":
        return f"[{','.join(draw.sample(metrics, min(len(metrics), draw.randint(1, 3))))}]"
    if field.key in TEXTS:
        return draw.choice(TEXTS[field.key])
    if kind is bool:
        return draw.choice(("true", "false", "True", "false"))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return str(draw.choice(list(kind)).value)
    return number_of(draw, kind, field.bounds) if kind in (int, float) else None


def number_of(draw: random.Random, kind: type, bounds: Bounds) -> str | None:
    """Returns a number within bounds as it is typed; None: none of those tried is."""
    if kind is int:
        near = [int(bounds.low), int(bounds.low) + 1] if bounds.low > -LARGEST_INT else [0]
        value = draw.choice((*COUNTS, *near, int(min(bounds.high, LARGEST_INT)) if bounds.high < 2000 else 5))
        return (
            draw.choice((str(value), str(value), f"+{value}", f"{value}"))
            if not bounds.wrong(value)
            else None
        )
    typed = draw.choice(NUMBERS)
    return typed if not bounds.wrong(float(typed)) else None


def legal_words(draw: random.Random) -> list[str]:
    """Returns a task, one to three choices, and values of one to five fields."""
    task = draw.choice(tiny_tasks.NAMES)
    chosen = {role: draw.choice(list(conf_files(role))) for role in draw.sample(ROLES, draw.randint(1, 3))}
    if chosen.get("freezing") == "schedule" or ("peft" in chosen and draw.random() < 0.8):
        chosen.pop("freezing", None)
    words = [f"task={task}", *(f"{role}={choice}" for role, choice in chosen.items())]
    if chosen.get("freezing") == "patterns":
        words.append("freezing.train=['.*']")
    if chosen.get("peft") in ("prompt-tuning", "prefix-tuning", "p-tuning"):
        words.append(f"peft.num_virtual_tokens={draw.choice((1, 2, 16))}")
    if draw.random() < 0.3:
        words += [word for word in draw.choice(TOGETHER) if word.partition("=")[0] not in chosen]
    data = "images" if task == "image-classification" else "text"
    known = fields_under(chosen | {"task": task, "model": "local", "tokenizer": "auto", "data": data})
    known = [field for field in known if field.key not in RARELY or draw.random() < 0.1]
    return [*words, *values_for(draw, known, task, {word.partition("=")[0] for word in words})]


def values_for(
    draw: random.Random, known: Sequence[Field], task: str, taken: Collection[str] = ()
) -> list[str]:
    """Returns words with values of one to five of the fields, without those that are taken."""
    metrics, words = metrics_of(task), []
    for field in draw.sample(known, min(len(known), draw.randint(1, 5))):
        value = value_of(draw, field, metrics)
        if value is not None and field.key not in taken:
            words.append(f"{field.key}={value}")
    return words


def words_for_a_run(draw: random.Random, keys: Collection[str], task: str) -> list[str]:
    """Returns words for a finished run: values of the keys that may change, an extreme one among them in a third of all cases."""
    known = [field for field in fields_under({"task": task, "data": "text"}) if field.key in keys]
    words = values_for(draw, known, task)
    numbers = [field for field in known if {int, float} & set(field.kinds)]
    if draw.random() < 0.35 and numbers:
        field = draw.choice(numbers)
        words = [word for word in words if not word.startswith(f"{field.key}=")]
        words.append(f"{field.key}={draw.choice(EXTREMES[int if int in field.kinds else float])}")
    return words


def extreme_word(draw: random.Random, words: list[str]) -> str:
    """Returns a number at an end of its type, for a field of the choices among the words, or a text that its type allows."""
    if draw.random() < 0.3:
        return draw.choice(TEXT_EXTREMES)
    chosen = dict(word.split("=", 1) for word in words if "." not in word.partition("=")[0])
    numbers = [field for field in fields_under(chosen) if {int, float} & set(field.kinds)]
    own = [field for field in numbers if field.key.partition(".")[0] in chosen] or numbers
    field = draw.choice(own if draw.random() < 0.6 else numbers)
    return f"{field.key}={draw.choice(EXTREMES[int if int in field.kinds else float])}"


@functools.cache
def metrics_of(task: str) -> list[str]:
    """Returns the metrics that score a task."""
    kinds = set(lookup("task", task).build.kinds)
    return [name for name in names_of("metric") if kinds & set(lookup("metric", name).build.kinds)]
