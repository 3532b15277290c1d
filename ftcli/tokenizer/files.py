"""Tokenizer files in a folder -> the fast tokenizer that they describe.

transformers picks a tokenizer class by the model's architecture and builds it from whatever the folder holds;
files of another kind give a tokenizer that knows five words, without an error. So each way of reading is
compared with the files themselves, and the first one that agrees with them is taken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftcli.errors import ConfigError, Problem, SourceError
from ftcli.hub.client import without_network
from ftcli.hub.json_file import read_object
from ftcli.hub.resolve import quiet_transformers
from ftcli.tokenizer.file_check import check_file, require_size

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

_SENTENCEPIECE = ("spiece.model", "spm.model", "tokenizer.model", "sentencepiece.bpe.model")
_OPTIONAL = {"sentencepiece": "sentencepiece", "tiktoken": "tiktoken", "protobuf": "protobuf"}
"""Package that pip installs -> the word in transformers' message where it is missing."""
LONGEST_LINE = 4096
TIKTOKEN_LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} \d+\r?\n")
"""A line of a file of tiktoken: a token in base64 and its rank. A file of sentencepiece is binary."""
_EXPECTED = "tokenizer.json, vocab.txt, vocab.json with merges.txt, or spiece.model"
# Read differently by tokenizers that differ in case, accents, digits, spaces or punctuation.
_PROBES = ["the quick brown fox, again", "It's  CAFÉ naïve #1234 (50%)", "ein\tneuer\nTag — 日本 don't! 🙂"]
# Lower case and plain, because sentencepiece files do not hold what a tokenizer does to text before them.
_PLAIN_PROBES = ["the quick brown fox jumps over the lazy dog", "again and again, a story of love"]


def load_backend(
    folder: Path, model_config: PreTrainedConfig, key: str
) -> tuple[PreTrainedTokenizerBase, list[str]]:
    """Reads the tokenizer in `folder`.

    Args:
        model_config: decides between classes where the files alone do not.
        key: the configuration key that led to the folder, for messages.

    Returns:
        The tokenizer and the decisions taken.

    Raises:
        SourceError: no tokenizer files, or none that can be read.
        ConfigError: the files only make a slow (pure Python) tokenizer.
    """
    if not _has_files(folder):
        raise SourceError(Problem(key, f"{folder} has no tokenizer; expected {_EXPECTED}", _hint(key)))
    for name in ("vocab.txt", "vocab.json", "merges.txt", *_SENTENCEPIECE):
        if (folder / name).is_file():
            require_size(folder / name, key)
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).is_file():
            read_object(folder / name, key)
    if (folder / "tokenizer.json").is_file():
        check_file(folder / "tokenizer.json", key)
    options, decisions = _case_options(folder)
    reasons = []
    slow = False
    for name, read in _readers(folder, model_config):
        backend, reason = _try(read, options, folder)
        if backend is not None and backend.is_fast:
            return backend, decisions
        slow = slow or backend is not None
        reasons.append(f"{name}: {reason}")
    if slow:
        message = f"{folder} has only a slow tokenizer, in pure Python; expected a fast one"
        raise ConfigError(Problem(key, message, "convert it to tokenizer.json"))
    message = f"the tokenizer files in {folder} cannot be read: {'; '.join(reasons)}"
    wanted = _missing_packages(folder, reasons)
    hint = f"pip install {' '.join(wanted)}" if wanted else "save it as tokenizer.json with save_pretrained"
    raise SourceError(Problem(key, message, hint))


def _missing_packages(folder: Path, reasons: list[str]) -> list[str]:
    """Returns the packages that would read the files.

    transformers takes every `.model` file that it could not read for one of tiktoken, so the file itself is asked.

    Args:
        folder: of the tokenizer.
        reasons: what each way of reading said.
    """
    missing = [name for name in _OPTIONAL if not _installed(name)]
    if files := _sentencepiece_files(folder):
        with files[0].open("rb") as opened:
            first = opened.readline(LONGEST_LINE)
        needed = ("tiktoken",) if TIKTOKEN_LINE.fullmatch(first) else ("sentencepiece", "protobuf")
        return [name for name in missing if name in needed]
    return [name for name in missing if any(_OPTIONAL[name] in reason.lower() for reason in reasons)]


def _installed(package: str) -> bool:
    try:
        return find_spec({"protobuf": "google.protobuf"}.get(package, package)) is not None
    except (ModuleNotFoundError, ValueError):  # no package google, or a module that was set to None
        return False


def _hint(key: str) -> str:
    return "" if key == "tokenizer.path" else "choose tokenizer=folder and set tokenizer.path=DIR"


def _has_files(folder: Path) -> bool:
    single = ("tokenizer.json", "vocab.txt", *_SENTENCEPIECE)
    pair = (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    return pair or any((folder / name).is_file() for name in single)


def _case_options(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Keeps upper case where a lone vocab.txt has it; transformers lower-cases unless tokenizer_config.json says otherwise."""
    vocab = folder / "vocab.txt"
    if not vocab.is_file() or (folder / "tokenizer.json").is_file():
        return {}, []
    if "do_lower_case" in _tokenizer_config(folder):
        return {}, []
    words = [line for line in _lines(vocab) if not line.startswith("[")]
    if not any(word != word.lower() for word in words):
        return {}, []
    return {"do_lower_case": False}, ["text keeps its upper case, as vocab.txt has some"]


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return {}
    return read_object(file, "tokenizer")


def _lines(vocab: Path) -> list[str]:
    try:
        return vocab.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"{vocab} is not UTF-8 text: {error}") from error


def _readers(folder: Path, model_config: PreTrainedConfig) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yields ways to read the folder: the architecture's own first, then the files' own."""
    import transformers
    from transformers import TOKENIZER_MAPPING

    def reader(kind: Any, **fixed: Any) -> Callable[..., Any]:
        """Returns a function that reads the folder with one class of transformers."""
        return lambda **options: kind.from_pretrained(folder, local_files_only=True, **fixed, **options)

    yield "AutoTokenizer", reader(transformers.AutoTokenizer, config=model_config, trust_remote_code=False)
    if (folder / "tokenizer.json").is_file():
        yield "tokenizer.json", reader(transformers.TokenizersBackend)
    if (folder / "vocab.txt").is_file():
        yield "vocab.txt", reader(transformers.BertTokenizer)
    if (folder / "merges.txt").is_file():
        yield "merges.txt", reader(transformers.GPT2Tokenizer)
    for file in _sentencepiece_files(folder):
        own: Any = TOKENIZER_MAPPING.get(type(model_config), None)
        for kind in (own, transformers.T5Tokenizer, transformers.LlamaTokenizer):
            if kind is not None:
                yield f"{file.name} as {kind.__name__}", reader(kind, vocab_file=str(file))


def _sentencepiece_files(folder: Path) -> list[Path]:
    return [folder / name for name in _SENTENCEPIECE if (folder / name).is_file()]


def _try(read: Callable[..., Any], options: dict[str, Any], folder: Path) -> tuple[Any, str]:
    """Returns the tokenizer, if it is slow or agrees with the files, or else the reason it is none."""
    try:
        with quiet_transformers(), without_network():
            backend = read(**options)
        if not backend.is_fast:
            return backend, "slow"
        return (backend, "") if _agrees(backend, folder) else (None, "reads them as something else")
    # The Rust library raises plain Exception for files and texts it cannot read, or a PanicException, which is none;
    # nothing narrower exists.
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return None, (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _agrees(backend: Any, folder: Path) -> bool:
    """Says whether the tokenizer is the one in the files: same ids, same pieces."""
    vocab = backend.get_vocab()
    if (folder / "tokenizer.json").is_file():
        return _agrees_with_json(backend, vocab, folder / "tokenizer.json")
    if (folder / "vocab.txt").is_file():
        return {word: i for i, word in enumerate(_lines(folder / "vocab.txt"))}.items() <= vocab.items()
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return json.loads((folder / "vocab.json").read_text(encoding="utf-8")).items() <= vocab.items()
    return _agrees_with_sentencepiece(backend, _sentencepiece_files(folder)[0])


def _agrees_with_json(backend: Any, vocab: dict[str, int], file: Path) -> bool:
    from tokenizers import Tokenizer

    stored = Tokenizer.from_file(str(file))
    if not stored.get_vocab(with_added_tokens=True).items() <= vocab.items():
        return False
    # Special tokens may differ: tokenizer_config.json has a say in them.
    loaded = backend.backend_tokenizer
    pairs = [(t.encode(text, add_special_tokens=False).ids for t in (stored, loaded)) for text in _PROBES]
    return all(a == b for a, b in pairs)


def _agrees_with_sentencepiece(backend: Any, file: Path) -> bool:
    from sentencepiece import SentencePieceProcessor

    stored = SentencePieceProcessor(model_file=str(file))
    return all(backend.tokenize(text) == stored.encode(text, out_type=str) for text in _PLAIN_PROBES)
