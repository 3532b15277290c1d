"""Words of a command line that somebody hostile, or a slip of the hand, would type; seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator

from hostile_schedules import READ
from legal_words import extreme_word, legal_words

from ftcli.config.own_keys import base_keys, keys_under
from ftcli.config.schema import ROLES

CHOICES = {"optimizer": ("adamw", "sgd"), "scheduler": ("plateau", "one-cycle", "cosine-restarts", "polynomial", "warmup-stable-decay", "inverse-sqrt"),
           "freezing": ("gradual", "bottom-layers", "patterns", "schedule"), "peft": ("lora", "adalora", "vera", "oft", "lokr", "prefix-tuning", "p-tuning"),
           "task": ("regression", "multi-label", "extractive-qa", "token-classification")}  # fmt: skip
VALUES = (
    "", " ", "nan", "inf", "-inf", "1e400", "-1", "0", "0.0", "-0.0", "1e-400", "2147483647", "2147483648", "4294967296", "9223372036854775808", "9" * 500, "1" * 5000,
    "1000000000", "100000000", "0x10", "1_000", "1e3", ".5", "true", "yes", "null", "None", "~", "[]", "[,]", "[1,2", "[" * 40, "[" * 5000, "{a:1}", "{}", "{a:{b:{c:1}}}",
    "[nan,inf]", "[-1]", "[1,1]", "['a','a']", "[null]", "[[1]]", "a,b", "range(1,10)", "choice(1,2)", "glob(*)", "int(3)", "str(3)", "sort(1,2)", READ, f"'{READ}'", f"[{READ}]",
    "\\x24{oc.env:X}", "'", '"', "'a", 'a"b', "\\", "a\nb", "\t", "\x00", "\x1b[31m", "\x7f", "\u202e", "\ud800", "\udcff", "\U0001f600", "é" * 3000, "a" * 300, "a" * 5000,
    "a" * 30_000, "/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/environ", "..", "../../../etc", "~", "~nobody-here", "~root/x", ".", "/", "//", "-", "--", "-1e",
    "$(ls)", "`ls`", ";ls", "%s%n", "[red]x[/red]", "<script>", "(a+)+$", "['(a+)+$']", "['(.+)+[^e]x']", "auto", "random", "cuda:99", "fp64", "a=b", "=", "a.b.c",
)  # fmt: skip
KEYS = (
    "", ".", "..", "model", "model.", ".model", "model..path", "model.path.x", "hydra.run.dir", "hydra/launcher", "hydra.searchpath", "+model.x", "++seed", "~peft", "model@x",
    "recipe", "seed", "seeds", "num_seeds", "lr", "epochs", "__class__", "model.__class__", "_target_", READ, "a b", "é", "\x1b[2J", "\x00", "\ud800", "x" * 3000, "optimizer.lr ",
    " optimizer.lr", "optimizer.LR", "OPTIMIZER.lr", "optimizer-lr", "optimizer[lr]", "[red]", "uses", "model.uses", "choices.model",
)  # fmt: skip
FLAGS = ("--", "---", "-x", "--recipe", "--lr=1", "--config-dir=/etc", "--config-name=x", "--cfg", "--multirun", "-m", "--info", "--hydra-help", "--package", "--learning_rate",
         "--\x1b[31m", "--é", "-\ud800")  # fmt: skip


def fuzzed_words(count: int, seed: int) -> Iterator[tuple[str, list[str]]]:
    """Yields (name, words of one command).

    Of ten, five hold legal words only (a task, choices, values of each type and range), two legal words and a number at an end of
    its type, two legal words and something hostile, one hostile words alone; every key of the schema comes up in a few hundred.
    """
    draw = random.Random(seed)
    for number in range(count):
        kind = draw.randrange(10)
        words = legal_words(draw) if kind < 9 else []
        if 5 <= kind < 7:
            extreme = extreme_word(draw, words)
            words = [
                *(word for word in words if word.partition("=")[0] != extreme.partition("=")[0]),
                extreme,
            ]
        elif 7 <= kind < 9:
            words.insert(draw.randint(1, len(words)), hostile_words(draw)[-1])
        elif kind == 9:
            words = hostile_words(draw)
        yield f"words-{number:04d}", words


def hostile_words(draw: random.Random) -> list[str]:
    """Returns one to four words with odd keys, values or flags, behind a choice in a third of all cases."""
    words: list[str] = []
    keys = sorted(base_keys())
    if draw.randrange(3) == 0:
        role = draw.choice(list(CHOICES))
        choice = draw.choice(CHOICES[role])
        words.append(f"{role}={choice}")
        keys = sorted(key for key in keys_under({role: choice}) if key.startswith(f"{role}."))
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        kind = draw.randrange(10)
        if kind == 0:
            words.append(f"{draw.choice(KEYS)}={draw.choice(VALUES)}")
        elif kind == 1:
            words.append(draw.choice((*VALUES, *FLAGS, *KEYS)))
        elif kind == 2:
            words.append(f"{draw.choice((*ROLES, 'recipe'))}={draw.choice(VALUES)}")
        else:
            words.append(f"{draw.choice(keys)}={draw.choice(VALUES)}")
    return words
