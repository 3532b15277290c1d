"""tokenizer=processor: the preprocessing of images that came with the model, read as plain JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ftcli.config.registry import register
from ftcli.config.schema import TokenizerConfig
from ftcli.errors import ConfigError, Problem, SourceError
from ftcli.hub.json_file import read_object
from ftcli.hub.resolve import Source
from ftcli.tokenizer.image_processor import FILE, Geometry, ImageProcessor

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

DEFAULT_SIZE = 224
"""Pixels a side where neither the processor nor config.json names a size."""
MAX_SIDE = 8192
"""Most pixels a side of an image that a model is given."""
FAMILIES = ("BeitImageProcessor", "BitImageProcessor", "ConvNextImageProcessor", "DeiTImageProcessor", "ViTImageProcessor")  # fmt: skip
"""Classes of transformers whose steps are those of `Geometry`; others would mean other pixels."""
ANY_SIZE = ("bit", "convnext", "convnextv2", "cvt", "mobilenet_v1", "mobilenet_v2", "regnet", "resnet")
"""Architectures of convolutions alone: images need not have the size that config.json names."""
LARGEST = 1e6
"""No scale, mean or std of pixels is as large."""
DEFAULTS = {"do_resize": True, "do_rescale": True, "do_normalize": True, "do_center_crop": False,
            "rescale_factor": 1 / 255, "resample": 2}  # fmt: skip
FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    "ConvNextImageProcessor": {"crop_pct": 224 / 256, "resample": 3},
    "DeiTImageProcessor": {"resample": 3, "do_center_crop": True},
    "BitImageProcessor": {"resample": 3, "do_center_crop": True},
}
"""What a file that says nothing means in transformers, where that is not as in DEFAULTS."""
FLAGS = ("do_flip_channel_order", "do_pad", "do_reduce_labels", "include_top", "rescale_offset")
"""Steps that are not taken here: each would change pixels or their order."""
FILTERS = {0: "nearest", 1: "Lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "Hamming"}


@dataclass(kw_only=True, slots=True)
class ProcessorConfig(TokenizerConfig):
    takes: ClassVar[str] = "images"

    def problems(self) -> list[Problem]:
        """Returns what no image can have."""
        if self.max_length is None:
            return []
        message = f"is {self.max_length}; images have one size, that of {FILE}"
        return [Problem("tokenizer.max_length", message, "leave it out")]


@register("tokenizer", ProcessorConfig)
def build(
    config: ProcessorConfig,
    *,
    model_source: Source,
    random_weights: bool,
    model_config: PreTrainedConfig,
    max_positions: int | None,
    padding_side: str,
) -> ImageProcessor:
    """Reads the processor in the model's folder and decides every setting.

    Args:
        config: has no say: a model sees images as it saw them before.
        model_source: the model's folder.
        random_weights: True lifts the demand that there is a processor.
        model_config: says the size and the channels the model takes.
        max_positions: patches of an image; None where the architecture has none.
        padding_side: taken by every tokenizer choice.

    Raises:
        SourceError: trained weights without a processor, or a file that is none.
        ConfigError: steps that are not known here, or images that do not fit the model.
    """
    decisions: list[str] = []
    stated = _read(model_source, random_weights, decisions)
    channels = _channels(model_config)
    geometry, size = _geometry(stated, model_config, model_source)
    if geometry.crop is not None and not _holds(geometry, size):
        raise ConfigError(_wrong(model_source, "cuts out more than the resized image has"))
    _check_size(size, model_config, model_source)
    scale = _number(stated, "rescale_factor", model_source) if stated["do_rescale"] else 1.0
    mean, std = _statistics(stated, channels, model_source)
    colour = "grey" if channels == 1 else "red, green, blue"
    decisions.append(f"images {_shown(geometry, size)}, {colour}; {_normalised(mean, std)}")
    return ImageProcessor(geometry, size, channels, scale, mean, std, max_positions or 1, decisions=decisions)


def _read(source: Source, random_weights: bool, decisions: list[str]) -> dict[str, Any]:
    """Returns the file's values over the defaults; 0.5 for mean and std without a file."""
    file = Path(source.folder) / FILE
    if not file.is_file():
        if not random_weights:
            message = f"{source.origin} comes without {FILE}: how its weights saw images is not known"
            raise SourceError(Problem(source.key, message, "add the file, or type model.weights=random"))
        decisions.append(f"no {FILE}: the size is config.json's, mean and std are 0.5")
        return {**DEFAULTS, "image_mean": 0.5, "image_std": 0.5}
    stated = read_object(file, source.key)
    family = _family(stated, source)
    own = FAMILY_DEFAULTS.get(family, {})
    return {**DEFAULTS, **own, **{key: value for key, value in stated.items() if value is not None}}


def _family(stated: dict[str, Any], source: Source) -> str:
    """Returns the class the file is of; raises ConfigError for one, or a step, that is not known."""
    name = str(stated.get("image_processor_type") or stated.get("feature_extractor_type") or "")
    family = name.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    if family and family not in FAMILIES:
        hint = f"known are {', '.join(FAMILIES)}"
        raise ConfigError(_wrong(source, f"is of a {name}, whose steps are not known here", hint))
    for flag in FLAGS:
        if stated.get(flag):
            raise ConfigError(_wrong(source, f"asks for {flag}, a step that is not taken here"))
    return family


def _number(stated: dict[str, Any], name: str, source: Source) -> float:
    """Returns a finite number of the file; raises ConfigError where it is none."""
    value = stated[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        raise ConfigError(_wrong(source, f"has the {name} {value!r:.40}", "expected a number"))
    return float(value)


def _wrong(source: Source, message: str, hint: str = "") -> Problem:
    return Problem("tokenizer", f"{FILE} of {source.origin} {message}", hint)


def _channels(model_config: PreTrainedConfig) -> int:
    channels = getattr(model_config, "num_channels", 3)
    if channels not in (1, 3):
        message = f"the model takes {channels!r:.40} channels; expected 1 (grey) or 3 (red, green, blue)"
        raise ConfigError(Problem("model", message))
    return int(channels)


def _own_size(model_config: PreTrainedConfig) -> tuple[int, int] | None:
    size = getattr(model_config, "image_size", None)
    try:
        return _pair(size) if size else None
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        message = f"config.json names no size of images: {size!r:.60}"
        raise ConfigError(Problem("model", message, f"expected image_size from 1 to {MAX_SIDE}")) from error


def _pair(value: Any) -> tuple[int, int]:
    """Returns (height, width) of a number, a pair or an object with both; raises ValueError for other sizes."""
    if isinstance(value, dict):
        pair = int(value["height"]), int(value["width"])
    elif isinstance(value, list | tuple):
        pair = int(value[0]), int(value[1])
    else:
        pair = int(value), int(value)
    if not all(1 <= side <= MAX_SIDE for side in pair):
        raise ValueError(f"{pair} is not from 1 to {MAX_SIDE}")
    return pair


def _geometry(
    stated: dict[str, Any], model_config: PreTrainedConfig, source: Source
) -> tuple[Geometry, tuple[int, int]]:
    """Returns the steps and the size they end at."""
    default = _own_size(model_config) or (DEFAULT_SIZE, DEFAULT_SIZE)
    size = stated.get("size", default)
    if stated["resample"] not in FILTERS:
        hint = f"expected {', '.join(f'{number} ({name})' for number, name in FILTERS.items())}"
        raise ConfigError(_wrong(source, f"has the resample {stated['resample']!r:.40}", hint))
    resample = int(stated["resample"])
    if "crop_pct" in stated and not 0.1 <= _number(stated, "crop_pct", source) <= 1:
        raise ConfigError(_wrong(source, f"has the crop_pct {stated['crop_pct']}", "expected 0.1 to 1"))
    try:
        crop = _pair(stated.get("crop_size", default)) if stated["do_center_crop"] else None
        if not stated["do_resize"]:
            return Geometry(None, None, crop, resample), crop or default
        edge = size.get("shortest_edge") if isinstance(size, dict) else None
        if isinstance(size, int) and "crop_pct" in stated:  # as older files of ConvNeXt and ResNet have it
            edge = size
        if edge is None:
            return Geometry(_pair(size), None, crop, resample), crop or _pair(size)
        edge = _pair(edge)[0]
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        hint = f"expected sides from 1 to {MAX_SIDE}"
        raise ConfigError(_wrong(source, f"names no size: {size!r:.60}", hint)) from error
    if "crop_pct" in stated and edge < 384:
        # Liu et al. 2022 (arXiv:2201.03545): a margin is cut off below 384 pixels, and none from there on.
        return Geometry(None, int(edge / stated["crop_pct"]), crop or (edge, edge), resample), crop or (edge, edge)  # fmt: skip
    if "crop_pct" in stated:
        return Geometry((edge, edge), None, crop, resample), crop or (edge, edge)
    if crop is None:
        hint = "set do_center_crop there"
        raise ConfigError(_wrong(source, "keeps proportions and cuts nothing off: sizes would differ", hint))
    return Geometry(None, edge, crop, resample), crop


def _holds(geometry: Geometry, size: tuple[int, int]) -> bool:
    """Says whether the resized image is as large as what is cut out; true where nothing is resized."""
    edge = geometry.shortest_edge
    height, width = geometry.resize or ((edge, edge) if edge else size)
    return height >= size[0] and width >= size[1]


def _check_size(size: tuple[int, int], model_config: PreTrainedConfig, source: Source) -> None:
    own = _own_size(model_config)
    if own is not None and own != size and model_config.model_type not in ANY_SIZE:
        message = f"makes images of {size[0]} x {size[1]} pixels, the model takes {own[0]} x {own[1]}"
        raise ConfigError(_wrong(source, message, "change one of the two files"))


def _statistics(
    stated: dict[str, Any], channels: int, source: Source
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and std of each channel."""
    if not stated["do_normalize"]:
        return (0.0,) * channels, (1.0,) * channels
    found = []
    for name in ("image_mean", "image_std"):
        value = stated.get(name, 0.5)
        values = [_number({name: v}, name, source) for v in (value if isinstance(value, list) else [value])]
        if len(values) not in (1, channels) or (name == "image_std" and 0.0 in values):
            raise ConfigError(_wrong(source, f"has the {name} {value} for {channels} channels"))
        found.append(tuple(values) if len(values) == channels else tuple(values) * channels)
    return found[0], found[1]


def _shown(geometry: Geometry, size: tuple[int, int]) -> str:
    fixed = f"{size[0]} x {size[1]}"
    filtered = FILTERS.get(geometry.resample, str(geometry.resample))
    if geometry.shortest_edge is not None:
        return (
            f"resized to a shorter side of {geometry.shortest_edge} ({filtered}), the middle {fixed} cut out"
        )
    if geometry.resize is None:
        return f"of {fixed} pixels, as they are"
    cut = f", the middle {fixed} cut out" if geometry.crop else ""
    return f"resized to {geometry.resize[0]} x {geometry.resize[1]} ({filtered}){cut}"


def _normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    shown = [", ".join(f"{value:g}" for value in dict.fromkeys(values)) for values in (mean, std)]
    return f"mean {shown[0]}, std {shown[1]}"
