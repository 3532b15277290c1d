"""Python for a model card: how plain libraries turn a row into inputs, and read an answer off the outputs.

A task takes what fits from here; lines that only one task needs stand in its own file.
"""

from __future__ import annotations

ONE_TEXT = 'tokenizer("a text", truncation=True, return_tensors="pt")'
TWO_TEXTS = 'tokenizer("a text", "its second text", truncation=True, return_tensors="pt")'
MOST_PROBABLE = [
    "chances = output.logits[0].softmax(-1)",
    "print([model.config.id2label[i] for i in chances.reshape(-1, chances.shape[-1]).argmax(-1).tolist()])",
]
"""Names the most probable label of a row, or of each of its tokens."""


def text_inputs(call: str, input_names: tuple[str, ...]) -> list[str]:
    """Returns the lines that tokenize texts into `inputs`.

    Args:
        call: the call of `tokenizer`.
        input_names: what the model was given in training; other inputs are left out here too.
    """
    lines = ["tokenizer = AutoTokenizer.from_pretrained(folder)", f"inputs = {call}"]
    if "token_type_ids" not in input_names:
        lines.append('inputs.pop("token_type_ids", None)')
    return lines


def image_inputs() -> list[str]:
    """Returns the lines that turn an image into `inputs`."""
    return [
        "from PIL import Image",
        "",
        "processor = AutoImageProcessor.from_pretrained(folder)",
        'picture = Image.new("RGB", (64, 64))  # Image.open(FILE)',
        'inputs = processor(picture, return_tensors="pt")',
    ]
