"""Reads a model's config.json as data: no remote code, no kernels, no quantised weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftcli.config.schema import ModelConfig, Weights
from ftcli.errors import Problem, SourceError, did_you_mean
from ftcli.hub.client import without_network
from ftcli.hub.json_file import read_object
from ftcli.hub.resolve import Source, quiet_transformers
from ftcli.model.absurd_numbers import refuse_absurd_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Keys of a config.json that name code, kernels or other weight files to load, or change the type of outputs.
_IGNORED_KEYS = {
    "attn_implementation", "auto_map", "custom_pipelines", "distributed_config", "experts_implementation",
    "fusion_config", "kernel_config", "output_attentions", "output_hidden_states", "return_dict",
    "torchscript", "transformers_weights", "trust_remote_code", "use_kernels",
}  # fmt: skip


def load_config(config: ModelConfig, source: Source) -> PreTrainedConfig:
    """Reads config.json. Labels, PAD id, dropout and dtype are set later, by `build`.

    Raises:
        SourceError: not a config.json, an architecture that transformers does not have, or quantised weights.
    """
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    values = read_object(source.config_file, source.key)
    refuse_absurd_numbers(values, source)
    kind = values.pop("model_type", None)
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise SourceError(_unknown_architecture(source, kind, "auto_map" in values))
    _refuse_methods(values, kind, source)
    if values.get("quantization_config") and config.weights is Weights.pretrained:
        message = f"{source.origin} has quantised weights; expected float32, float16 or bfloat16"
        raise SourceError(Problem(source.key, message, "use the model that is not quantised"))
    try:
        with quiet_transformers(), without_network():
            made = CONFIG_MAPPING[kind].from_dict(_without_code(values))
            if not isinstance(made.get_text_config(), PreTrainedConfig):
                raise TypeError("its text_config is no config")
            return made
    # A config class raises whatever a wrong value leads to, and StrictDataclassError; nothing narrower exists.
    except Exception as error:
        message = f"{source.config_file} is not a config of {kind}: {first_line(error)}"
        raise SourceError(Problem(source.key, message)) from error


def _refuse_methods(values: dict[str, Any], kind: str, source: Source) -> None:
    """Raises SourceError for a key that would take the place of a method of the config."""
    from transformers import CONFIG_MAPPING

    wrong = [
        key
        for key in values
        if callable(getattr(CONFIG_MAPPING[kind], key, None)) and not key.startswith("_")
    ]
    if wrong:
        raise SourceError(
            Problem(
                source.key,
                f"{source.config_file} has the key {wrong[0]!r:.60}, which no config has",
                "remove it",
            )
        )


def _unknown_architecture(source: Source, kind: object, has_code: bool) -> Problem:
    from transformers import CONFIG_MAPPING, __version__

    if not isinstance(kind, str):
        hint = 'add a line such as "model_type": "bert"'
        return Problem(source.key, f"{source.config_file} has no model_type", hint)
    message = f"the installed transformers ({__version__}) has no architecture {kind!r}"
    if has_code:
        message += "; the code that the model brings along is never run"
    return Problem(source.key, message, did_you_mean(kind, CONFIG_MAPPING.keys()))


def _without_code(values: dict[str, Any]) -> dict[str, Any]:
    """Drops private and ignored keys at every depth: private ones can name attention kernels to download."""
    return {
        key: _without_code(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if not key.startswith("_") and key not in _IGNORED_KEYS and key != "quantization_config"
    }


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, for one line in a panel."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
