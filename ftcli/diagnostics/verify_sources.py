"""The rows, the tokenizer and the model that a run stands on, against what data.json recorded of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ftcli.config.compose import Composed
from ftcli.config.regular_file import exists
from ftcli.config.schema import RunConfig
from ftcli.config.validate import named_paths
from ftcli.diagnostics.verify_files import Check, Outcome, in_one_line
from ftcli.errors import FtcliError, OutOfReachError
from ftcli.run.resume import continued_session

MODEL_PATHS = ("model.path", "tokenizer.path")


def compare_sources(then: dict[str, Any], now: dict[str, Any]) -> list[Check]:
    """Compares the rows, as they are read and as they are encoded, the tokenizer and the model with data.json.

    Args:
        then: data.json.
        now: the same of the sources as they are.
    """
    checks = [_part(name, part, now["parts"].get(name)) for name, part in then["parts"].items()]
    checks += _tokenizer_and_model(then, now["tokenizer"]["fingerprint"], now["model"])
    if then["labels"] != now["labels"]:
        detail = f"data.json has {then['labels'][:5]}, the rows {now['labels'][:5]}"
        checks.append(Check("labels", Outcome.differs, detail))
    return checks


def _part(name: str, then: dict[str, Any], now: dict[str, Any] | None) -> Check:
    what = f"{name} rows"
    if now is None and _is_gone(then["origin"]):
        return Check(what, Outcome.unchecked, f"not at hand: {then['origin']}")
    if now is None or now.get("sha256") != then["sha256"]:
        return Check(what, Outcome.differs, f"{then['origin']} holds other rows than the run was trained on")
    odd = [key for key in then if key != "origin" and json.dumps(then[key]) != json.dumps(now.get(key))]
    if odd:
        detail = f"encoded again, {odd[0]} is {now.get(odd[0])}, it was {then[odd[0]]}"
        return Check(what, Outcome.differs, detail)
    return Check(what, Outcome.same, f"sha256 of {then['rows']:,} rows; encoded again: as many tokens")


def _tokenizer_and_model(then: dict[str, Any], tokenizer: str, model: dict[str, Any]) -> list[Check]:
    checks = []
    for name, fingerprint in (("tokenizer", tokenizer), ("model", model["fingerprint"])):
        same = then[name]["fingerprint"] == fingerprint
        detail = "hash of its files" if same else f"{model['origin']}: its files changed since the run began"
        checks.append(Check(name, Outcome.same if same else Outcome.differs, detail))
    return checks


def why_absent(config: RunConfig, then: dict[str, Any], error: FtcliError) -> str:
    """Returns what the run stands on and is not on this machine, so that it could not be built; '' where all is.

    Args:
        config: of the run.
        then: data.json.
        error: why it could not be built.
    """
    gone = [f"{key}={path}" for key, (path, _) in named_paths(config).items() if _is_gone(path)]
    gone += [part["origin"] for part in then["parts"].values() if _is_gone(part["origin"])]
    if gone:
        return "not at hand: " + ", ".join(dict.fromkeys(gone))
    return f"not at hand: {in_one_line(error)}" if isinstance(error, OutOfReachError) else ""


def compare_without_rows(composed: Composed, then: dict[str, Any], decided: dict[str, Any]) -> list[Check]:
    """Compares tokenizer and model alone, where they are at hand and the rows are not.

    Args:
        composed: the run's configuration.
        then: data.json.
        decided: the decisions of environment.json.
    """
    paths = named_paths(composed.config)
    if any(_is_gone(paths[key][0]) for key in MODEL_PATHS):
        return []
    try:
        inputs = continued_session(composed, then, decided, with_rows=False).inputs
        model = {"origin": inputs.source.origin, "fingerprint": inputs.source.fingerprint()}
    except OutOfReachError:
        return []
    except FtcliError as error:
        return [Check("tokenizer and model", Outcome.differs, in_one_line(error))]
    return _tokenizer_and_model(then, inputs.tokenizer.fingerprint, model)


def _is_gone(path: str | None) -> bool:
    """Returns whether a path, not a pattern of shards or a name of the hub, leads to nothing."""
    return path is not None and Path(path).is_absolute() and "*" not in path and not exists(path)
