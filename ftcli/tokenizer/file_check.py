"""A tokenizer.json that anybody may have written, checked before the Rust library reads it.

The library panics, aborts or never returns on some files, and neither can be caught in Python. So sizes, ids and kinds are
checked as plain JSON; where a file holds something that text can make slow or huge (regular expressions, replacements,
compiled character maps), it is tried in a process of its own with limits of time and memory first.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from ftcli.errors import Problem, SourceError

LARGEST_BYTES = 512 * 2**20
"""Of a tokenizer.json; the largest published ones have 40 million."""
LARGEST_VOCABULARY = 128 * 2**20
"""Of the other files of a tokenizer; the largest published ones have 20 million."""
MAX_ID = 2**24
"""Largest id: 64 times the largest published vocabularies."""
MAX_TYPE = 255
"""Largest token type; tables hold a byte."""
LONGEST_TOKEN = 100_000
"""Characters."""
DEEPEST = 60
"""Levels of lists and objects; the library's own limit is 128."""
PLAIN = {
    "BertNormalizer", "BertPreTokenizer", "BertProcessing", "ByteFallback", "ByteLevel", "CTC", "Delimiter", "Digits", "Fuse", "Lowercase",
    "Metaspace", "NFC", "NFD", "NFKC", "NFKD", "Punctuation", "RobertaProcessing", "Sequence", "Strip", "StripAccents", "TemplateProcessing",
    "UnicodeScripts", "Whitespace", "WhitespaceSplit", "WordPiece", "BPEDecoder", "FixedLength", "Nmt",
}  # fmt: skip
"""Kinds of normalizers, pre-tokenizers, post-processors and decoders whose work is bounded by the text."""
TRIAL_S = 15.0
"""Seconds that the trial may take; the library and the largest vocabularies load in four."""
TRIAL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from tokenizers import Tokenizer
made = Tokenizer.from_file(sys.argv[1])
made.no_truncation()
made.no_padding()
for text in ("a" * 3000 + "!", " " * 3000 + "a", "ab 12 " * 500, "x1" * 1500, "a\\u0301\\ufb01" * 500, "-" * 3000, "A" * 3000, "1" * 3000):
    if len(made.encode(text)) > 100 * len(text):
        sys.exit("makes more than 100 tokens of a character")
"""


def require_size(file: Path, key: str, most: int = LARGEST_VOCABULARY) -> None:
    """Refuses a file that is larger than any of its kind; its bytes may be endless zeros.

    Args:
        file: that is there.
        key: the configuration key that led to it, for messages.
        most: bytes.

    Raises:
        SourceError: names both numbers.
    """
    size = file.stat().st_size
    if size > most:
        raise SourceError(Problem(key, f"{file} has {size:,} bytes; expected at most {most:,}"))


def check_file(file: Path, key: str) -> None:
    """Refuses a tokenizer.json that the library must not read.

    Args:
        file: the tokenizer.json.
        key: the configuration key that led to it, for messages.

    Raises:
        SourceError: names what is wrong with it.
    """
    require_size(file, key, LARGEST_BYTES)
    stat = file.stat()
    try:
        reason = _reason(file, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise SourceError(Problem(key, f"{file} cannot be read: {error.strerror}")) from error
    if reason:
        message = f"{file} is no tokenizer that can be read: {reason}"
        raise SourceError(Problem(key, message, "use the tokenizer that came with the model"))


@lru_cache(maxsize=16)
def _reason(file: Path, size: int, changed: int) -> str:
    """Returns what is wrong with a file of this size and time, or ''."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        return f"it is nested deeper than {DEEPEST} levels"
    except ValueError as error:
        return f"it is not JSON: {error}"
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        return "it has no model"
    parts = {name: value for name, value in values.items() if name not in ("model", "added_tokens")}
    kinds = set()
    for depth, one in _objects(parts):
        if depth > DEEPEST:
            return f"it is nested deeper than {DEEPEST} levels"
        kinds.add(str(one.get("type", "")) if "type" in one else "")
        if odd := _odd_number(one):
            return odd
    return _vocabulary(values) or (_tried(file) if kinds - PLAIN - {""} or _unusual(values["model"]) else "")


def _objects(values: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields every object in lists and objects, with its depth; without recursion."""
    waiting = [(0, values)]
    while waiting:
        depth, one = waiting.pop()
        if isinstance(one, dict):
            yield depth, one
        if isinstance(one, dict | list) and depth <= DEEPEST:
            inner = one.values() if isinstance(one, dict) else one
            waiting += [(depth + 1, value) for value in inner if isinstance(value, dict | list)]


def _odd_number(one: dict[str, Any]) -> str:
    """Returns which number of an object is beyond what the library or a token table holds, or ''."""
    for name, value in one.items():
        values = value if isinstance(value, list) else [value]
        most = MAX_TYPE if name == "type_id" else MAX_ID
        for number in values:
            if isinstance(number, int) and not isinstance(number, bool) and not 0 <= number <= most:
                return f"its {name} is {number!r:.40}; expected 0 to {most:,}"
    return ""


def _vocabulary(values: dict[str, Any]) -> str:
    """Returns what is wrong with the tokens and their ids, or ''."""
    vocab = values["model"].get("vocab")
    if isinstance(vocab, dict):
        pairs = list(vocab.items())
    elif isinstance(vocab, list) and all(isinstance(one, list) and len(one) == 2 for one in vocab):
        pairs = [(one[0], i) for i, one in enumerate(vocab)]
    else:
        return "its model has no vocabulary"
    added = values.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(one, dict) for one in added):
        return "its added_tokens are no list of objects"
    pairs += [(one.get("content"), one.get("id")) for one in added]
    if not pairs:
        return "its vocabulary is empty"
    for token, number in pairs:
        if type(number) is not int or not 0 <= number <= MAX_ID:
            return f"the token {token!r:.40} has the id {number!r:.40}; expected 0 to {MAX_ID:,}"
        if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
            return f"the id {number} has a token that is no text of up to {LONGEST_TOKEN:,} characters"
    if any(one.get("content") == "" for one in added):
        return "an added token is empty"
    return ""


def _unusual(model: dict[str, Any]) -> bool:
    """Says whether the model itself has to be tried: its work is not bounded by the text, or its kind is unknown."""
    return model.get("type") not in ("WordPiece", "BPE", "WordLevel")


def _tried(file: Path) -> str:
    """Loads the file and reads some texts in a process of its own; returns what went wrong, or ''."""
    command = [sys.executable, "-I", "-c", TRIAL, str(file)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TRIAL_S, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return f"texts of 3,000 characters take it longer than {TRIAL_S:g} s"
    if done.returncode < 0:
        return f"it ended the process that tried it (signal {-done.returncode})"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["it cannot be loaded"])[-1][:200]
    return ""
