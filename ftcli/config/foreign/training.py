"""Rates, warmup, precision and device as other tools set them."""

from __future__ import annotations

import re

from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.choices import slug
from ftcli.config.foreign.values import (
    FACTOR,
    INDEX,
    NOT_NEGATIVE,
    PROBABILITY,
    Rule,
    fitted,
    is_none,
    is_on,
    listed,
    number,
    refused,
    switch,
    whole,
)

WARMUP = "100st (steps), 1ep (epochs) or 0.1 (a share of all steps)"


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
