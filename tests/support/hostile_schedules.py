"""Schedule files that somebody hostile, or a slip of the hand, would write; seeded, so that a failure can be made again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

CANARY_VARIABLE = "FTCLI_CANARY"
READ = "${oc.env:" + CANARY_VARIABLE + "}"
GOOD = """\
0:
  params: [head]
  max_transition_epoch: 1
  lr: 1e-3
  warmup: 0.1
1:
  params: ['layers[1:]', final]
  max_transition_epoch: 2
  optimizer: {name: sgd, momentum: 0.5}
  scheduler: {name: cosine, min_factor: 0.1}
  layerwise: {kind: geometric, decay: 0.9}
2:
  params: [rest]
  patience: 2
  plateau_slope: 0.1
  monitor: loss
"""
ODD_VALUES = (
    "", "~", "null", "true", "-1", "0", "1e400", "-1e400", ".nan", ".inf", "1" * 400, "9" * 5000, "2147483648", "1e-320", "[]", "{}", "[[]]", "{a: {b: []}}",
    "'" + "x" * 5000 + "'", f"'{READ}'", f'"\\x24{{oc.env:{CANARY_VARIABLE}}}"', "!!python/object/apply:os.system [ls]", "!!python/name:os.environ", "!!set {a}",
    "!!binary aGk=", "&x [*x]", "*nowhere", "'\\x1b[31mred'", '"\\e[2J"', '"\\u202ereversed"', '"[red]markup[/red]"', '"a\\nb"', "2020-01-01", "0x10", "1_000",
    "[head, head]", "[nothing]", "['*']", "['(']", "['(a+)+$']", "['(.+)+[^e]x']", "['([a-z.]*)*X']", "['(?:(?:(?:a?){99}){99}){99}']", "['" + "(" * 300 + "']",
    "['layers[99]']", "['layers[" + "9" * 400 + "]']", "['layers[::]']", "[layers[1]]", "['layers[-1:-5]']", "['adapters']", "['']", "[1, 2]", "[null]",
    "{name: adamw, betas: [0.9]}", "{name: adamw, eps: .nan}", "{name: [sgd]}", "{name: nothing}", "{name: adamw, lr: 1}", "{name: adamw, x: " + "[" * 30 + "}",
    "{optimizer_init: {class_path: os.system}}", "{optimizer_init: {class_path: torch.optim.SGD, init_args: [1]}}", "{optimizer_init: [1]}",
    "{lr_scheduler_init: {class_path: [a], init_args: 3}}", "{lr_scheduler_init: {class_path: torch.optim.lr_scheduler.LinearLR, init_args: {T_max: {}}}}",
    "{kind: table, table: ['(a+)+$: 1']}", "{kind: table, table: {'layers[0]': .nan}}", "{kind: [geometric]}", "{decay: " + "9" * 400 + "}", "{kind: cosine, decay: 2}",
    "1" * 400 + "st", "1e9ep", "5st", "99999999999st", "-1st", "0.5st", "soon",
)  # fmt: skip
KEYS = ("params", "except", "freeze", "lr", "weight_decay", "max_transition_epoch", "max_epochs", "max_steps", "monitor", "mode", "patience", "min_delta",
        "plateau_slope", "plateau_window", "warmup", "scheduler", "optimizer", "layerwise", "older_groups", "restore_best", "best", "moments", "new_optimizer",
        "new_lr_scheduler", "parms", READ, "? [a]", "<<", "1", "null", "__class__", "_target_")  # fmt: skip
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)
WHOLE: dict[str, str | bytes] = {
    "empty": "", "a list": "- head\n", "a scalar": "head\n", "null": "null\n", "no YAML": "{[", "a tab": "0:\n\tparams: [head]\n", "bomb": BOMB,
    "bomb in params": BOMB + "0: {params: *i}\n", "deep list": "0: {params: " + "[" * 50_000, "deep map": "0: " + "{a: " * 5_000, "cycle": "0: &x {params: *x}\n",
    "merge cycle": "0: &x\n  <<: *x\n", "not UTF-8": b"0: {params: [\xff\xfe]}\n", "NUL": b"0: {params: [a\x00b]}\n", "UTF-16": "0: {params: [head]}\n".encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + GOOD.encode(), "CR": GOOD.replace("\n", "\r").encode(), "huge": "# " + "x" * 3_000_000, "many values": "0: {params: [" + "x," * 200_000 + "]}\n",
    "many phases": "".join(f"{i}: {{params: ['x{i}']}}\n" for i in range(3_000)), "a far phase": "999999999: {params: [head]}\n",
    "a huge number": "9" * 5_000 + ": {params: [head]}\n", "negative": "-1: {params: [head]}\n", "two documents": GOOD + "---\n" + GOOD, "a directive": "%YAML 9.9\n---\n" + GOOD,
    "duplicate phases": GOOD + GOOD, "a key that is a map": "{a: 1}: {params: [head]}\n", "a key that is a list": "? [0]\n: {params: [head]}\n",
    "a long line": "0: {params: ['" + "x" * 900_000 + "']}\n", "read": f"'{READ}': {{params: [head]}}\n", "a bell": b"0: {params: ['\x07']}\n",
    "anchors": "0: &p {params: [head], lr: 1}\n1: *p\n", "only comments": "# nothing\n# here\n", "an end": "...\n", "quotes": "0: {params: ['head]}\n",
}  # fmt: skip


def hostile_schedules(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Path]]:
    """Writes `count` files into a folder; yields (what is hostile in it, its path).

    First come the files that are hostile as a whole, then good schedules with one or two odd values, then damaged bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    for number in range(count):
        if number < len(WHOLE):
            name, content = list(WHOLE.items())[number]
        elif number % 4:
            name, content = _odd(draw)
        else:
            name, content = "damaged bytes", damaged(GOOD.encode(), draw)
        path = folder / f"schedule-{number:04d}.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        yield name, path


def _odd(draw: random.Random) -> tuple[str, str]:
    """Returns a schedule in which one or two keys have odd values."""
    blocks = GOOD.rstrip("\n").split("\n")
    lines, names = list(blocks), []
    for _ in range(draw.choice((1, 1, 2))):
        key, value = draw.choice(KEYS), draw.choice(ODD_VALUES)
        line = f"  {key}: {value}" if not key.startswith("?") else f"  {key}\n  : {value}"
        same = [i for i, one in enumerate(lines) if one.startswith(f"  {key}:")]
        if same and draw.random() < 0.8:
            lines[draw.choice(same)] = line
        else:
            lines.insert(draw.randrange(1, len(lines) + 1), line)
        names.append(f"{key}: {value[:60]}")
    return " and ".join(names), "\n".join(lines) + "\n"


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Returns bytes cut, changed, doubled or filled up at random places."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0:
                del data[at:]
            case 1:
                data[at:at] = bytes(
                    draw.choices(b"\x00\x1b\xff{}[]&*!|>'\"%@`#:-?\n\t $", k=draw.randint(1, 8))
                )
            case 2:
                del data[at : at + draw.randint(1, 20)]
            case 3:
                data[at:at] = data[at : at + draw.randint(1, 60)] * draw.randint(1, 3)
            case _:
                data[at : at + 1] = bytes([draw.randrange(256)])
        if not data:
            data = bytearray(b"0")
    return bytes(data)
