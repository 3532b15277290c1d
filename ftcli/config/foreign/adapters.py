"""Adapters and frozen blocks as other tools set them."""

from __future__ import annotations

from ftcli.config.foreign.answer import Answer, Typed
from ftcli.config.foreign.choices import slug
from ftcli.config.foreign.values import (
    COUNT,
    INDEX,
    fitted,
    is_none,
    is_regex,
    listed,
    names,
    refused,
    renamed,
)


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
