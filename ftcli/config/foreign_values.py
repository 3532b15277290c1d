"""How the value of another tool's setting becomes one of ours: the rules that `foreign_words` assigns to keys."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from ftcli.config.bundled import conf_files
from ftcli.config.foreign_choices import Answer, Typed, answer_choice, metric_name, slug
from ftcli.errors import did_you_mean

Rule = Callable[[str, Typed], Answer]
"""(value as typed, the command's words) -> what to type instead."""

ROWS = ("per_device_train_batch_size", "per_gpu_train_batch_size", "per_gpu_batch_size", "train_batch_size",
        "micro_batch_size", "batch_size", "bs")  # fmt: skip
"""Names of the rows that one forward pass takes on one device."""
ACCUMULATION = ("gradient_accumulation_steps", "gradient_accumulation", "accumulate_grad_batches")
"""Names of the forward passes in an optimizer step."""
TRAINER_ROWS = 8
"""per_device_train_batch_size of the Trainer, where none is typed."""
_STEP = "batch_size: rows of an optimizer step, micro_batch_size: rows of a forward pass"


# --- general rules ---------------------------------------------------------------------------------------


def renamed(key: str, *, needs: str = "", null_below: float | None = None) -> Rule:
    """The same value under our key.

    Args:
        key: ours.
        needs: see `Answer.needs`.
        null_below: smaller numbers switch the setting off, as max_steps=-1 does.
    """

    def rule(value: str, typed: Typed) -> Answer:
        number = _number(value)
        off = slug(value) in ("none", "null") or (
            null_below is not None and number is not None and number < null_below
        )
        return Answer((f"{key}={'null' if off else value or 'VALUE'}",), needs=needs)

    return rule


def names(key: str, *, needs: str = "") -> Rule:
    """Several names, written `a,b`, `[a, b]` or as JSON, under our key as `[a,b]`."""
    return lambda value, typed: Answer((f"{key}=[{','.join(_split(value)) or 'NAME'}]",), needs=needs)


def switch(on: Answer, off: Answer | None = None) -> Rule:
    """A boolean, or a flag without value; `off` is what a false one means, by default nothing to type."""
    unset = off or Answer(note="leave it out, it is off by default")
    return lambda value, typed: on if slug(value) in ("", "true", "1", "yes", "on") else unset


def boolean(key: str) -> Rule:
    """A boolean under our key."""
    return switch(Answer((f"{key}=true",)), Answer((f"{key}=false",)))


def fixed(*words: str, note: str = "", needs: str = "") -> Rule:
    """The same words whatever the value."""
    return lambda value, typed: Answer(words, note, needs)


def absent(note: str) -> Rule:
    """There is no such setting; `note` says what there is, or why none is needed."""
    return lambda value, typed: Answer(note=note)


def choice(role: str) -> Rule:
    """A choice of one of our groups."""

    def rule(value: str, typed: Typed) -> Answer:
        return answer_choice(role, value, typed) or Answer(
            note=f"{role}: {did_you_mean(value, conf_files(role))}"
        )

    return rule


def steps(key: str) -> Rule:
    """A number of steps; the Trainer also reads shares of a run, for which there is no counterpart."""

    def rule(value: str, typed: Typed) -> Answer:
        number = _number(value)
        if number is not None and number < 1:
            return Answer(note=f"type {key}=N, a number of steps: a share of the run is not read")
        return Answer((f"{key}={value or 'N'}",))

    return rule


# --- batches, lengths, rates -------------------------------------------------------------------------------


def batch(value: str, typed: Typed) -> Answer:
    """Rows a device times accumulation steps are the rows of an optimizer step, which micro_batch_size splits."""
    rows = next((typed[name] for name in ROWS if name in typed), "")
    times = next((typed[name] for name in ACCUMULATION if name in typed), "1")
    if not re.fullmatch(r"[1-9]\d*", times) or not re.fullmatch(r"\d*", rows):
        return Answer(note=f"type trainer.batch_size=N trainer.micro_batch_size=M ({_STEP})")
    if times == "1":
        return Answer((f"trainer.batch_size={rows}",)) if rows else Answer(note="type trainer.batch_size=N")
    total = typed.get("trainer.batch_size", "")
    if not rows and total.isdigit():
        return Answer((f"trainer.micro_batch_size={max(1, int(total) // int(times))}",), _STEP)
    each = int(rows or TRAINER_ROWS)
    why = _STEP if rows else f"{TRAINER_ROWS} rows, the Trainer's default, times {times}; {_STEP}"
    return Answer((f"trainer.batch_size={each * int(times)}", f"trainer.micro_batch_size={each}"), why)


def micro_batch(value: str, typed: Typed) -> Answer:
    """The rows of a forward pass; with accumulation steps, axolotl's part of a batch."""
    if any(name in typed for name in ACCUMULATION):
        return batch(value, typed)
    return Answer((f"trainer.micro_batch_size={value or 'N'}",), _STEP)


def warmup(value: str, typed: Typed) -> Answer:
    """A whole number is steps; below 1 it is a share of the run, as in Transformers 5 and AutoGluon."""
    number = _number(value)
    share = number is not None and 0 < number < 1
    return Answer((f"scheduler.warmup={value if share else (value or '100') + 'st'}",))


def warmup_epochs(value: str, typed: Typed) -> Answer:
    """A number of epochs."""
    return Answer((f"scheduler.warmup={value or '1'}ep",))


def betas(value: str, typed: Typed) -> Answer:
    """Two settings of the Trainer are one list."""
    first, second = typed.get("adam_beta1") or "0.9", typed.get("adam_beta2") or "0.999"
    return Answer((f"optimizer.betas=[{first},{second}]",), needs="optimizer=adamw")


def layerwise(value: str, typed: Typed) -> Answer:
    """A factor from one block to the one below."""
    return Answer(("optimizer.layerwise.kind=geometric", f"optimizer.layerwise.decay={value or '0.8'}"))


# --- precision, device, kernels -----------------------------------------------------------------------------


def precision(value: str, typed: Typed) -> Answer:
    """`bf16-mixed` of Lightning, `no` of Accelerate, `mixed_float16` of Keras, dtypes of torch."""
    short = re.sub(r"mixed|true|torch\.|-", "", slug(value))
    ours = {"16": "fp16", "fp16": "fp16", "float16": "fp16", "half": "fp16", "bf16": "bf16", "bfloat16": "bf16",
            "32": "fp32", "fp32": "fp32", "float32": "fp32", "no": "fp32"}  # fmt: skip
    return Answer((f"trainer.precision={ours.get(short, 'auto')}",))


def half_precision(name: str) -> Rule:
    """fp16 or bf16; without it the Trainer computes in fp32."""
    return switch(Answer((f"trainer.precision={name}",)), Answer(("trainer.precision=fp32",)))


def device(value: str, typed: Typed) -> Answer:
    """`cuda:0`, `gpu`, spaCy's number of a GPU or -1."""
    name = slug(value).partition(":")[0]
    ours = {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu", "mps": "mps", "-1": "cpu"}
    return Answer((f"trainer.device={ours.get(name, 'cuda' if name.isdigit() else 'auto')}",))


def attention(value: str, typed: Typed) -> Answer:
    """A kernel; the flash-attn package is not used, torch's SDPA is."""
    name = slug(value)
    if name in ("eager", "sdpa"):
        return Answer((f"model.attention={name}",))
    if name in ("false", "disabled", "no"):
        return Answer(("model.attention=auto",))
    return Answer(("model.attention=sdpa",), "torch's own kernels; flash-attn is not used")


# --- evaluation, checkpoints, folders ---------------------------------------------------------------------------


def when_evaluated(value: str, typed: Typed) -> Answer:
    """`steps`, `epoch` or `no`; the Trainer's eval_steps are its 500 logging_steps unless typed."""
    if slug(value) == "steps":
        return Answer(
            (f"trainer.eval_every_n_steps={typed.get('eval_steps') or typed.get('logging_steps') or '500'}",)
        )
    if slug(value) == "no":
        return Answer(
            note="leave it out: every run is evaluated, at the end of each epoch, to find its best checkpoint"
        )
    return Answer(("trainer.eval_every_n_steps=null",), "each epoch, the default")


def when_saved(value: str, typed: Typed) -> Answer:
    """`steps`, `epoch`, `best` or `no`; a checkpoint is saved at each evaluation."""
    if slug(value) == "steps":
        return Answer((f"trainer.save_every_n_steps={typed.get('save_steps') or '500'}",))
    return Answer(
        ("trainer.save_every_n_steps=null",), "at each evaluation, the default; best and last are kept"
    )


def best_metric(value: str, typed: Typed) -> Answer:
    """The first of task.metrics decides which checkpoint is best."""
    name = metric_name(value) or slug(value) or "accuracy"
    if name == "loss":
        return Answer(("trainer.monitor=loss",))
    return Answer((f"task.metrics=[{name}]",), "the first one decides which checkpoint is best")


def metric_list(value: str, typed: Typed) -> Answer:
    """Names of metrics, each by our name of it."""
    ours = [metric_name(name) or name for name in _split(value)] or ["accuracy"]
    return Answer((f"task.metrics=[{','.join(ours)}]",))


def run_dir(value: str, typed: Typed) -> Answer:
    """A folder for the run is a flag: it is not part of the configuration."""
    return Answer(("--run-dir", value or "DIR"))


def run_name(value: str, typed: Typed) -> Answer:
    """A run is named by its folder."""
    return Answer(("--run-dir", f"runs/{value or 'NAME'}"))


def resumed(value: str, typed: Typed) -> Answer:
    """A run directory, or a checkpoint in it, is continued by a command of its own."""
    folder = "last" if slug(value) in ("", "true", "auto", "latest", "last") else value
    run = re.sub(r"/(checkpoints/[^/]+|(checkpoint|step)-\d+)/?$", "", folder)
    return Answer(note=f"type ftcli resume {shlex.quote(run)}, a command of its own")


def reported(value: str, typed: Typed) -> Answer:
    """A logger, or a list of them; the switches of single services say their own name."""
    name = next(iter(_split(value)), "all")
    return answer_choice("logger", "wandb" if slug(name) in ("true", "1") else name, typed) or Answer(
        ("logger=tensorboard",), f"there is no logger named {name}"
    )


# --- data, adapters, freezing -----------------------------------------------------------------------------------


def data_set(value: str, typed: Typed) -> Answer:
    """A file, a folder, a choice of ours by any of its names, or a hub id."""
    if value in conf_files("data"):
        return Answer((f"data={value}",))
    return answer_choice("data", value, typed, near=False) or Answer(
        ("data=text",), "and data.path=DIR or data.id=NAME"
    )


def subset(value: str, typed: Typed) -> Answer:
    """The configuration of a hub data set, which may make it one of ours (glue, sst2)."""
    stated = next((typed[key] for key in ("dataset_name", "dataset") if typed.get(key)), "")
    return data_set(stated, typed) if stated else Answer((f"data.subset={value or 'NAME'}",))


def task_name(value: str, typed: Typed) -> Answer:
    """A task of GLUE in run_glue.py, a task elsewhere."""
    glue = ("cola", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "stsb", "wnli")
    return data_set(f"glue/{slug(value)}", typed) if slug(value) in glue else choice("task")(value, typed)


def folder_of_rows(value: str, typed: Typed) -> Answer:
    """A folder, or a file after all."""
    answer = data_set(value, typed) if value and Path(value).suffix else Answer()
    return answer if answer.words else Answer((f"data.path={value or 'DIR'}",), needs="data=text")


def validation_share(value: str, typed: Typed) -> Answer:
    """A share of the training rows; a number of rows has no counterpart."""
    number = _number(value)
    if number is not None and number >= 1:
        return Answer(
            note="type data.validation_share=0.1, a share of the training rows: a number of rows is not read"
        )
    return Answer((f"data.validation_share={value or '0.1'}",))


def validation_percentage(value: str, typed: Typed) -> Answer:
    """A percentage of the training rows."""
    return Answer((f"data.validation_share={(_number(value) or 5) / 100:g}",))


def model(value: str, typed: Typed) -> Answer:
    """A folder, a choice of ours by its hub id, or any other hub id."""
    return answer_choice("model", value, typed, near=False) or Answer(
        ("model=local",), "and model.path=DIR or model.id=NAME"
    )


def target_modules(value: str, typed: Typed) -> Answer:
    """Names of modules; `all` and `all-linear` are every linear module of the base."""
    if slug(value) in ("all", "all-linear", "true"):
        return Answer(("peft.target_modules=[all-linear]",), needs="peft=lora")
    return names("peft.target_modules", needs="peft=lora")(value, typed)


def block_range(value: str, typed: Typed) -> Answer:
    """A list of blocks, where it is a range."""
    blocks = sorted(int(block) for block in re.findall(r"\d+", value))
    if blocks and blocks == list(range(blocks[0], blocks[-1] + 1)):
        return Answer((f"peft.layers={blocks[0]}:{blocks[-1] + 1}",), needs="peft=lora")
    return Answer(note="type peft.layers=8:12 or peft.layers=-2:, one range of blocks")


def top_layers(value: str, typed: Typed) -> Answer:
    """LLaMA-Factory counts the blocks that train, from the top; we count those that do not."""
    note = f"N: the model's blocks less {value or 'those that train'}; ftcli explain shows how many it has"
    return Answer(("freezing=bottom-layers",), f"with freezing.num_layers=N, {note}")


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _split(value: str) -> list[str]:
    return re.findall(r"[^\s,()\[\]'\"]+", value)
