"""The code block of a model card: how plain libraries load and run the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftcli.export.facts import Facts


def usage(facts: Facts) -> str:
    """Returns Python that loads this folder and answers one row, as a fenced block."""
    inputs = facts.finished.inputs
    lines = [
        *_loading(facts),
        *inputs.task.usage_inputs(facts.made.head, inputs.tokenizer.input_names),
        "with torch.no_grad():",
        f"    output = {inputs.task.usage_call()}",
        *inputs.task.usage_answer(),
    ]
    return "```python\n" + "\n".join(lines) + "\n```"


def _literal(text: object) -> str:
    """Returns a Python literal in ASCII that cannot end the block."""
    return ascii(str(text)).replace("`", "\\x60")


def _loading(facts: Facts) -> list[str]:
    auto, reader = facts.made.auto_class, facts.finished.inputs.task.usage_reader
    place = [f"folder = {_literal(facts.place)}"]
    if facts.kind != "adapter":
        return [
            "import torch",
            f"from transformers import {', '.join(sorted((auto, reader)))}",
            "",
            *place,
            f"model = {auto}.from_pretrained(folder).eval()",
        ]
    resized = ", ignore_mismatched_sizes=True" if facts.proved["resized"] else ""
    return [
        "import torch",
        "from peft import PeftModel",
        f"from transformers import {', '.join(sorted((auto, 'AutoConfig', reader)))}",
        "",
        *place,
        "config = AutoConfig.from_pretrained(folder)  # label names and PAD",
        f"base = {auto}.from_pretrained({_literal(facts.base)}, config=config, dtype=config.dtype{resized})",
        "model = PeftModel.from_pretrained(base, folder).eval()  # the head is in the folder",
    ]
