"""Folders with only vocab.txt, only vocab.json and merges.txt, only spiece.model, only tokenizer.json."""

from __future__ import annotations

import base64
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tokenizers import ByteLevelBPETokenizer, Tokenizer

from ftcli.errors import FtcliError, SourceError
from ftcli.tokenizer.files import load_backend

CORPUS = ["the quick brown fox jumps over the lazy dog", "again and again a story of love, it's good"] * 20


def read(folder: Path, models: ModuleType, architecture: str) -> Any:
    return load_backend(folder, models.tiny_config(architecture), "model.path")[0]


def write_bpe(folder: Path) -> Path:
    """vocab.json and merges.txt of GPT-2's kind."""
    folder.mkdir(parents=True, exist_ok=True)
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(CORPUS, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False)
    bpe.save_model(str(folder))
    return folder


def write_unigram(folder: Path, name: str = "spiece.model") -> Path:
    import sentencepiece

    folder.mkdir(parents=True, exist_ok=True)
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=made, vocab_size=45, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    (folder / name).write_bytes(made.getvalue())
    return folder


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "electra", "gpt2", "deberta-v2"])
def test_vocab_txt_alone(architecture: str, tmp_path: Path, models: ModuleType) -> None:
    """[CLS] not a good story ##like -> by hand from the order of the words; 5 special tokens come first."""
    backend = read(models.write_wordpiece(tmp_path), models, architecture)
    assert backend("Not a good storylike FILM")["input_ids"] == [2, 11, 9, 5, 8, 16, 7, 3]


def test_a_vocab_with_upper_case_keeps_it(tmp_path: Path, models: ModuleType) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "Good"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    backend, decisions = load_backend(tmp_path, models.tiny_config("bert"), "model.path")
    assert backend("good Good")["input_ids"] == [2, 5, 6, 3]
    assert decisions == ["text keeps its upper case, as vocab.txt has some"]
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    backend, decisions = load_backend(tmp_path, models.tiny_config("bert"), "model.path")
    assert backend("good Good")["input_ids"] == [2, 5, 5, 3]
    assert decisions == []


@pytest.mark.parametrize("architecture", ["gpt2", "opt", "qwen2", "llama", "bert", "t5"])
def test_vocab_and_merges_alone(architecture: str, tmp_path: Path, models: ModuleType) -> None:
    """Whatever the architecture, ids are those of the files."""
    folder = write_bpe(tmp_path)
    stored = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    if architecture == "t5":
        from transformers import T5Config

        backend, _ = load_backend(folder, T5Config(), "model.path")
    else:
        backend = read(folder, models, architecture)
    text = "the lazy fox is good"
    assert backend(text, add_special_tokens=False)["input_ids"] == stored.encode(text).ids


def test_roberta_adds_its_special_tokens(tmp_path: Path, models: ModuleType) -> None:
    backend = read(write_bpe(tmp_path), models, "roberta")
    ids = backend("the fox")["input_ids"]
    assert backend.convert_ids_to_tokens([ids[0], ids[-1]]) == ["<s>", "</s>"]


@pytest.mark.parametrize("name", ["spiece.model", "spm.model", "tokenizer.model"])
@pytest.mark.parametrize("architecture", ["albert", "deberta-v2", "llama", "bert"])
def test_a_sentencepiece_file_alone(name: str, architecture: str, tmp_path: Path, models: ModuleType) -> None:
    """MicroBatching are sentencepiece's own, under whichever name the file stands."""
    import sentencepiece

    folder = write_unigram(tmp_path, name)
    stored = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
    text = "a lazy fox jumps again"
    assert read(folder, models, architecture).tokenize(text) == stored.encode(text, out_type=str)


def test_a_sentencepiece_bpe_file(tmp_path: Path, models: ModuleType) -> None:
    import sentencepiece

    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=made, vocab_size=60, model_type="bpe", minloglevel=2
    )
    (tmp_path / "tokenizer.model").write_bytes(made.getvalue())
    stored = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    text = "the lazy dog"
    assert read(tmp_path, models, "llama").tokenize(text) == stored.encode(text, out_type=str)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "qwen2", "albert", "llama"])
def test_tokenizer_json_alone_is_the_truth(architecture: str, tmp_path: Path, models: ModuleType) -> None:
    """transformers would rebuild BERT's class from any vocabulary, and lower-case the text."""
    from tokenizers import models as kinds
    from tokenizers import pre_tokenizers

    stored = Tokenizer(kinds.WordLevel({"<unk>": 0, "Good": 1, "good": 2}, unk_token="<unk>"))
    stored.pre_tokenizer = pre_tokenizers.Whitespace()
    stored.save(str(tmp_path / "tokenizer.json"))
    backend = read(tmp_path, models, architecture)
    assert backend("Good good bad", add_special_tokens=False)["input_ids"] == [1, 2, 0]


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_saving_and_reading_again_gives_the_same(
    architecture: str, tmp_path: Path, models: ModuleType
) -> None:
    write = models.write_wordpiece if architecture == "bert" else write_bpe
    first = read(write(tmp_path / "a"), models, architecture)
    first.save_pretrained(tmp_path / "b")
    second = read(tmp_path / "b", models, architecture)
    text = "the quick good story, again"
    assert second(text)["input_ids"] == first(text)["input_ids"]
    assert type(second) is type(first)


def missing(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Makes importing a package fail, as where it is not installed."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    from transformers.utils.import_utils import BACKENDS_MAPPING  # it remembers what it has seen

    name = package.rpartition(".")[2]
    monkeypatch.setitem(BACKENDS_MAPPING, name, (lambda: False, f"{{0}} requires {name}"))


@pytest.mark.parametrize(
    ("package", "module"), [("sentencepiece", "sentencepiece"), ("protobuf", "google.protobuf")]
)
def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(
    tmp_path: Path, models: ModuleType, monkeypatch: pytest.MonkeyPatch, package: str, module: str
) -> None:
    """transformers asks for tiktoken in both cases, which could not read the file."""
    write_unigram(tmp_path)
    missing(monkeypatch, module)
    with pytest.raises(SourceError) as error:
        read(tmp_path, models, "albert")
    [problem] = error.value.problems
    assert "cannot be read" in problem.message
    assert problem.hint == f"pip install {package}"


def test_a_file_of_tiktoken_without_it(
    tmp_path: Path, models: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"{base64.b64encode(bytes([i])).decode()} {i}\n" for i in range(256)]
    (tmp_path / "tokenizer.model").write_text("".join(lines))
    missing(monkeypatch, "tiktoken")
    with pytest.raises(SourceError) as error:
        read(tmp_path, models, "llama")
    assert error.value.problems[0].hint == "pip install tiktoken"


@pytest.mark.parametrize("name", ["vocab.txt", "spiece.model"])
def test_a_file_that_is_larger_than_any_vocabulary_is_refused_before_it_is_read(
    tmp_path: Path, models: ModuleType, name: str
) -> None:
    with (tmp_path / name).open("wb") as opened:
        opened.truncate(10**12)
    with pytest.raises(SourceError, match="has 1,000,000,000,000 bytes; expected at most 134,217,728"):
        read(tmp_path, models, "bert")


def test_no_tokenizer_files(tmp_path: Path, models: ModuleType) -> None:
    with pytest.raises(SourceError) as error:
        read(tmp_path, models, "bert")
    assert error.value.problems[0].key == "model.path"
    assert "tokenizer=folder" in error.value.problems[0].hint


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b'{"model": {}}'),
        ("vocab.txt", b"\xff\xfe\x00good"),
        ("spiece.model", b"not a model"),
    ],
)
def test_damaged_files_are_reported(name: str, content: bytes, tmp_path: Path, models: ModuleType) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FtcliError):
        read(tmp_path, models, "bert")


def test_code_beside_a_tokenizer_is_not_run(tmp_path: Path, models: ModuleType) -> None:
    folder = models.write_wordpiece(tmp_path)
    (folder / "tokenization_evil.py").write_text("raise SystemExit('ran')")
    auto_map = {"AutoTokenizer": ["tokenization_evil.Evil", None]}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": auto_map, "tokenizer_class": "Evil"})
    )
    assert read(folder, models, "bert")("good")["input_ids"] == [2, 5, 3]
