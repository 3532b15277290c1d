"""Settings of other tools whose value becomes one of ours by a rule of their own."""

from __future__ import annotations

import re
from pathlib import Path

from ftcli.config.bundled import conf_files
from ftcli.config.foreign.choices import Answer, Typed, answer_choice, metric_name, slug
from ftcli.config.foreign.values import (
    CLASSES,
    COUNT,
    FACTOR,
    HALF,
    INDEX,
    NOT_NEGATIVE,
    PROBABILITY,
    Rule,
    fitted,
    is_none,
    is_on,
    is_regex,
    listed,
    names,
    number,
    refused,
    renamed,
    steps,
    switch,
    whole,
)
from ftcli.config.registry import names_of, split_name
from ftcli.errors import did_you_mean, typed_words

EVAL_STEPS, SAVE_STEPS = "trainer.eval_every_n_steps", "trainer.save_every_n_steps"
WARMUP = "100st (steps), 1ep (epochs) or 0.1 (a share of all steps)"
_TRAIN_FLAG = "a flag of ftcli train"


# --- lengths, rates, precision, device ---------------------------------------------------------------------


def warmup(value: str, typed: Typed) -> Answer:
    """A whole number is steps; below 1 it is a share of the run, as in Transformers 5 and AutoGluon."""
    key, found = "scheduler.warmup", number(value)
    if not value or is_none(value):
        return Answer((f"{key}={'0' if value else '100st'}",))
    if found is not None and 0 < found < 1:
        return Answer((f"{key}={value}",))
    count = fitted(value, INDEX)
    return Answer((f"{key}={count}st",)) if count else refused(key, WARMUP)


def warmup_epochs(value: str, typed: Typed) -> Answer:
    """A number of epochs."""
    key, epochs = "scheduler.warmup", fitted(value or "1", NOT_NEGATIVE)
    if is_none(value):
        return Answer((f"{key}=0",))
    if epochs is None:
        return refused(key, WARMUP)
    count = whole(epochs)
    return Answer((f"{key}={f'{float(epochs):f}'.rstrip('0') if count is None else count}ep",))


def betas(value: str, typed: Typed) -> Answer:
    """A list of two numbers."""
    pair = [item.strip("()") for item in listed(value)] if value else ["0.9", "0.999"]
    if len(pair) != 2 or not all(fitted(beta, PROBABILITY) for beta in pair):
        return refused("optimizer.betas", "a list of two numbers from 0 to below 1")
    return Answer((f"optimizer.betas=[{pair[0]},{pair[1]}]",), needs="optimizer=adamw")


def single_beta(value: str, typed: Typed) -> Answer:
    """Two settings of the Trainer are one list."""
    first, second = typed.get("adam_beta1") or "0.9", typed.get("adam_beta2") or "0.999"
    return betas(f"{first},{second}", typed)


def layerwise(value: str, typed: Typed) -> Answer:
    """A factor from one block to the one below."""
    decay = fitted(value or "0.8", FACTOR)
    if decay is None:
        return refused("optimizer.layerwise.decay", FACTOR.what)
    return Answer(("optimizer.layerwise.kind=geometric", f"optimizer.layerwise.decay={decay}"))


_DTYPES = {"16": "fp16", "fp16": "fp16", "float16": "fp16", "half": "fp16", "bf16": "bf16", "bfloat16": "bf16",
           "32": "fp32", "fp32": "fp32", "float32": "fp32", "float": "fp32", "no": "fp32",
           "none": "auto", "null": "auto", "auto": "auto", "": "auto"}  # fmt: skip


def precision(value: str, typed: Typed) -> Answer:
    """`bf16-mixed` of Lightning, `no` of Accelerate, `mixed_float16` of Keras, dtypes of torch."""
    ours = _DTYPES.get(re.sub(r"mixed|true|torch\.|-", "", slug(value)))
    if ours is None:
        return Answer(note="trainer.precision is auto, fp32, bf16 or fp16")
    return Answer((f"trainer.precision={ours}",))


def dtype(value: str, typed: Typed) -> Answer:
    """The storage of the weights; what trains is stored in float32."""
    stored = {"fp32": "float32", "auto": "float32", "bf16": "bfloat16", "fp16": "float16"}
    ours = _DTYPES.get(slug(value).removeprefix("torch."))
    if ours is None:
        return Answer(note="model.dtype is float32, bfloat16 or float16")
    # fp16 training keeps fp32 weights: the trainer's precision is what is meant.
    note = "" if ours in ("fp32", "auto") else f"where nothing trains; else trainer.precision={ours}"
    return Answer((f"model.dtype={stored[ours]}",), note)


_HALF = {"fp16": "fp16 use_fp16 use_amp amp", "bf16": "bf16 use_bf16 pure_bf16"}


def half_precision(name: str) -> Rule:
    """fp16 or bf16; without both the Trainer computes in fp32."""
    other = _HALF["bf16" if name == "fp16" else "fp16"]
    rivals = f"{other} precision mixed_precision trainer.precision"
    rule = switch(Answer((f"trainer.precision={name}",)), Answer(("trainer.precision=fp32",)), rivals=rivals)

    def both(value: str, typed: Typed) -> Answer:
        rival = next((one for one in other.split() if one in typed and is_on(typed[one])), None)
        if is_on(value) and rival:
            return Answer(note=f"keep one of {name} and {rival}: trainer.precision has one value")
        return rule(value, typed)

    return both


def device(value: str, typed: Typed) -> Answer:
    """`cuda:0`, `gpu`, spaCy's number of a GPU or -1."""
    name = slug(value).partition(":")[0]
    ours = {"gpu": "cuda", "cuda": "cuda", "cpu": "cpu", "mps": "mps", "-1": "cpu"}
    return Answer((f"trainer.device={ours.get(name, 'cuda' if name.isdigit() else 'auto')}",))


def attention(value: str, typed: Typed) -> Answer:
    """A kernel; the flash-attn package is not used, torch's SDPA is."""
    if slug(value) in ("eager", "sdpa"):
        return Answer((f"model.attention={slug(value)}",))
    if not is_on(value):
        return Answer(("model.attention=auto",))
    return Answer(("model.attention=sdpa",), "torch's own kernels; flash-attn is not used")


# --- evaluation, checkpoints, folders ------------------------------------------------------------------------


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


# --- model, data, task ----------------------------------------------------------------------------------------


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


# --- adapters, freezing ---------------------------------------------------------------------------------------


def target_modules(value: str, typed: Typed) -> Answer:
    """Names of modules; `all` and `all-linear` are every linear module of the base."""
    key, needs = "peft.target_modules", "peft=lora"
    if slug(value) in ("all", "all-linear", "true"):
        return Answer((f"{key}=[all-linear]",), needs=needs)
    if is_none(value):
        return Answer((f"{key}=null",), needs=needs)
    if is_regex(value):
        return refused(key, "names of modules, whole or their last parts, in a list: a regex is not read")
    return names(key, needs=needs)(value, typed)


def init_lora_weights(value: str, typed: Typed) -> Answer:
    """True is peft's own initialization, Kaiming-uniform."""
    key = "peft.init_lora_weights"
    known = ("kaiming", "gaussian", "orthogonal", "pissa", "pissa_niter_4", "pissa_niter_16", "olora")
    name = value.strip("'\"").lower()
    if not value or name == "true":
        return Answer((f"{key}=kaiming",), needs="peft=lora")
    if name in known:
        return Answer((f"{key}={name}",), needs="peft=lora")
    return Answer(note=f"{key} is one of {', '.join(known)}")


def block_range(value: str, typed: Typed) -> Answer:
    """A list of blocks, where it is a range."""
    if is_none(value):
        return Answer(("peft.layers=null",), needs="peft=lora")
    blocks = sorted(int(block) for block in listed(value) if block.isdecimal())
    if blocks and len(blocks) == len(listed(value)) and blocks == list(range(blocks[0], blocks[-1] + 1)):
        return Answer((f"peft.layers={blocks[0]}:{blocks[-1] + 1}",), needs="peft=lora")
    return Answer(note="peft.layers takes one range of blocks, such as 8:12, or -2: for the top two")


def top_layers(value: str, typed: Typed) -> Answer:
    """LLaMA-Factory counts the blocks that train, from the top; we count those that do not."""
    count = fitted(value, COUNT) or "those that train"
    note = f"N: the model's blocks less {count}; ftcli explain shows how many it has"
    return Answer(("freezing=bottom-layers",), f"with freezing.num_layers=N, {note}")


def frozen_layers(value: str, typed: Typed) -> Answer:
    """How many blocks are frozen, or the list of them, which has to begin at the bottom."""
    key, needs = "freezing.num_layers", "freezing=bottom-layers"
    if not value.lstrip().startswith("[") and "," not in value:
        return renamed(key, INDEX, needs=needs, none="null")(value, typed)
    if listed(value) == [str(block) for block in range(len(listed(value)))]:
        return Answer((f"{key}={len(listed(value))}",), needs=needs)
    return refused(
        key, "how many blocks are frozen, from the bottom", why="others are named by freezing.freeze"
    )
