"""The code block of a model card: how plain libraries load and run the folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftcli.export.model_card import Facts


def usage(facts: Facts) -> str:
    """Returns Python that loads this folder and answers one row, as a fenced block."""
    lines = [*_loading(facts), *_inputs(facts), *_answer(facts)]
    return "```python\n" + "\n".join(lines) + "\n```"


def _literal(text: object) -> str:
    """Returns a Python literal in ASCII that cannot end the block."""
    return ascii(str(text)).replace("`", "\\x60")


def _reader(facts: Facts) -> str:
    return "AutoImageProcessor" if facts.finished.inputs.task.takes == "images" else "AutoTokenizer"


def _loading(facts: Facts) -> list[str]:
    auto, reader = facts.made.auto_class, _reader(facts)
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


def _inputs(facts: Facts) -> list[str]:
    task = facts.finished.composed.config.choices["task"]
    if facts.finished.inputs.task.takes == "images":
        return [
            "from PIL import Image",
            "",
            "processor = AutoImageProcessor.from_pretrained(folder)",
            'picture = Image.new("RGB", (64, 64))  # Image.open(FILE)',
            'inputs = processor(picture, return_tensors="pt")',
        ]
    lines = ["tokenizer = AutoTokenizer.from_pretrained(folder)"]
    columns = facts.finished.composed.config.data.columns
    if task == "multiple-choice":
        call = 'tokenizer(["the question", "the question"], ["one choice", "another"], truncation=True, padding=True, return_tensors="pt")'
    elif columns.text_pair is not None or task == "extractive-qa":
        call = 'tokenizer("a text", "its second text", truncation=True, return_tensors="pt")'
    else:
        call = 'tokenizer("a text", truncation=True, return_tensors="pt")'
    lines.append(f"inputs = {call}")
    if "token_type_ids" not in _names(facts):
        lines.append('inputs.pop("token_type_ids", None)')
    if task == "multiple-choice" and facts.made.auto_class == "AutoModelForMultipleChoice":
        lines.append("inputs = {name: value[None] for name, value in inputs.items()}")
    return lines


def _names(facts: Facts) -> tuple[str, ...]:
    """Returns the inputs the run's model was given."""
    types = getattr(facts.finished.inputs.tokenizer, "token_types", False)
    return ("input_ids", "attention_mask", *(("token_type_ids",) if types else ()))


def _answer(facts: Facts) -> list[str]:
    task = facts.finished.composed.config.choices["task"]
    lines = ["with torch.no_grad():", "    output = model(**inputs)"]
    if task == "extractive-qa":
        lines += [
            "start, end = output.start_logits[0].argmax(), output.end_logits[0].argmax()",
            'print(tokenizer.decode(inputs["input_ids"][0, start : end + 1]))',
        ]
    elif task == "multi-label":
        lines += [
            "chances = output.logits[0].sigmoid()",
            "print({model.config.id2label[i]: round(float(p), 4) for i, p in enumerate(chances)})",
        ]
    elif task == "regression":
        lines.append("print(float(output.logits[0, 0]))")
    elif task == "multiple-choice":
        lines.append("print(output.logits.flatten().softmax(-1))  # the probability of each choice")
    else:
        lines += [
            "chances = output.logits[0].softmax(-1)",
            "print([model.config.id2label[i] for i in chances.reshape(-1, chances.shape[-1]).argmax(-1).tolist()])",
        ]
    return lines
