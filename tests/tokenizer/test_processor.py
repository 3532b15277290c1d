"""Pixels are those of transformers' own processors, channels stand in one order, and nothing unknown is guessed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from transformers import ConvNextConfig, ResNetConfig, ViTConfig
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.deit.image_processing_pil_deit import DeiTImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from ftcli.errors import ConfigError, DataError, SourceError
from ftcli.tokenizer.processor import ProcessorConfig, build

GREY = {"image_mean": [0.1307], "image_std": [0.3081], "size": {"height": 28, "width": 28}}
CASES = {
    "vit": (ViTImageProcessorPil, {}, ViTConfig()),
    "vit of 16 pixels": (ViTImageProcessorPil, {"size": {"height": 16, "width": 24}, "resample": 3}, ViTConfig(image_size=[16, 24])),
    "vit without rescaling": (ViTImageProcessorPil, {"do_rescale": False, "image_mean": [120.0, 110.0, 100.0]}, ViTConfig()),
    "vit without normalising": (ViTImageProcessorPil, {"do_normalize": False}, ViTConfig()),
    "deit": (DeiTImageProcessorPil, {}, ViTConfig()),
    "convnext with a margin": (ConvNextImageProcessorPil, {"size": {"shortest_edge": 224}, "crop_pct": 0.875}, ConvNextConfig()),
    "convnext of 384": (ConvNextImageProcessorPil, {"size": {"shortest_edge": 384}}, ConvNextConfig()),
    "bit": (BitImageProcessorPil, {}, ResNetConfig()),
}  # fmt: skip
"""Name -> (class of transformers, its settings, the model's config)."""


def picture(width, height, mode="RGB"):
    draw = np.random.default_rng(width)
    values = draw.integers(0, 256, (height, width, 3) if mode == "RGB" else (height, width))
    return Image.fromarray(values.astype(np.uint8))


def build_tokenizer(folder, model_config, stated=None, *, random_weights=False, patches=4):
    if stated is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    source = SimpleNamespace(folder=folder, origin=str(folder), key="model.path")
    return build(ProcessorConfig(), model_source=source, random_weights=random_weights, model_config=model_config,
                 max_positions=patches, padding_side="right")  # fmt: skip


def values(processor, folder, pictures):
    """Returns (batch, channels, height, width) of pictures that were saved."""
    for number, one in enumerate(pictures):
        one.save(folder / f"{number}.png")
    table = processor.encode_images(
        [f"{i}.png" for i in range(len(pictures))], folder, lambda row: f"row {row}"
    )
    return table.values(np.arange(len(pictures)))


@pytest.mark.parametrize("case", CASES)
def test_pixels_are_those_of_transformers(tmp_path, case):
    kind, settings, model_config = CASES[case]
    theirs = kind(**settings)
    ours = build_tokenizer(tmp_path, model_config, json.loads(theirs.to_json_string()))
    for size in ((40, 30), (333, 500), (224, 224)):
        expected = np.asarray(theirs(picture(*size), return_tensors="np")["pixel_values"])
        found = values(ours, tmp_path, [picture(*size)])
        assert found.shape == expected.shape and found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * max(1.0, np.abs(expected).max()))


def test_an_older_file_of_convnext_means_a_shorter_side(tmp_path):
    older = {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224}
    ours = build_tokenizer(tmp_path, ConvNextConfig(), {**older, "image_mean": 0.5, "image_std": 0.5})
    expected = ConvNextImageProcessorPil(size=224)(picture(300, 280), return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(values(ours, tmp_path, [picture(300, 280)]), expected, rtol=0, atol=1e-6)


def test_grey_pixels_are_those_of_transformers(tmp_path):
    ours = build_tokenizer(tmp_path, ViTConfig(num_channels=1, image_size=28), GREY)
    one = picture(50, 40, "L")
    expected = ViTImageProcessorPil(**GREY)(np.asarray(one)[None], input_data_format="channels_first", return_tensors="np")  # fmt: skip
    found = values(ours, tmp_path, [one])
    assert found.shape == (1, 1, 28, 28)
    np.testing.assert_allclose(found, expected["pixel_values"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA", "CMYK"])
def test_channels_are_red_green_blue_whatever_the_file_holds(tmp_path, mode):
    ours = build_tokenizer(tmp_path, ViTConfig(image_size=8), random_weights=True)
    one = Image.new("RGB", (8, 8), (255, 128, 0)).convert(mode)
    one.save(tmp_path / "one.tif")
    table = ours.encode_images(["one.tif"], tmp_path, str)
    red, green, blue = table.values(np.array([0]))[0].mean(axis=(1, 2))
    assert red == pytest.approx(1, abs=0.05) and green == pytest.approx(0, abs=0.05)
    assert blue == pytest.approx(-1, abs=0.05)


def test_a_colour_file_becomes_grey_by_luma(tmp_path):
    ours = build_tokenizer(tmp_path, ViTConfig(num_channels=1, image_size=8), random_weights=True)
    found = values(ours, tmp_path, [Image.new("RGB", (8, 8), (255, 0, 0))])
    # ITU-R 601: 0.299 of red, in whole steps of 255
    assert found.shape == (1, 1, 8, 8) and found[0, 0, 0, 0] == pytest.approx((76 / 255 - 0.5) / 0.5)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    ours = build_tokenizer(tmp_path, ViTConfig(image_size=8), random_weights=True)
    one = Image.new("RGB", (8, 8), (0, 0, 0))
    one.paste((255, 255, 255), (0, 0, 8, 4))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    one.save(tmp_path / "one.png", exif=exif)
    found = ours.encode_images(["one.png"], tmp_path, str).values(np.array([0]))[0, 0]
    assert (found[:4] == -1).all() and (found[4:] == 1).all()


def test_without_a_file_the_config_decides_and_it_is_said(tmp_path):
    ours = build_tokenizer(tmp_path, ViTConfig(image_size=16), random_weights=True, patches=None)
    assert (ours.size, ours.mean, ours.std, ours.max_length) == ((16, 16), (0.5,) * 3, (0.5,) * 3, 1)
    assert "no preprocessor_config.json" in ours.decisions[0]
    with pytest.raises(SourceError, match="how its weights saw images is not known"):
        build_tokenizer(tmp_path, ViTConfig(image_size=16))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"do_flip_channel_order": True}, "asks for do_flip_channel_order"),
        ({"image_processor_type": "EfficientNetImageProcessor"}, "whose steps are not known"),
        ({"size": {"shortest_edge": 224}}, "keeps proportions and cuts nothing off"),
        ({"size": {"height": 256, "width": 256}}, "makes images of 256 x 256 pixels, the model takes 224 x 224"),
        ({"size": {"depth": 3}}, "names no size"),
        ({"image_mean": [0.5, 0.5]}, "image_mean .* for 3 channels"),
        ({"image_std": 0.0}, "image_std 0.0"),
        ({"do_center_crop": True, "size": 100, "crop_size": 224}, "cuts out more"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(tmp_path, stated, message):
    with pytest.raises(ConfigError, match=message):
        build_tokenizer(tmp_path, ViTConfig(), stated)


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(SourceError, match="is not JSON"):
        build_tokenizer(tmp_path, ViTConfig())


def test_an_image_of_another_size_is_refused_where_none_is_resized(tmp_path):
    ours = build_tokenizer(tmp_path, ViTConfig(image_size=8), {"do_resize": False})
    assert values(ours, tmp_path, [picture(8, 8)]).shape == (1, 3, 8, 8)
    with pytest.raises(DataError, match="the image is 9 x 8 pixels and is not resized"):
        values(ours, tmp_path, [picture(8, 9)])


def test_the_fingerprint_hangs_on_every_setting(tmp_path):
    stated = [{}, {"resample": 3}, {"image_mean": [0.4, 0.5, 0.5]}, {"rescale_factor": 0.5}, {"do_normalize": False},
              {"do_center_crop": True}]  # fmt: skip
    assert len({build_tokenizer(tmp_path, ViTConfig(), one).fingerprint for one in stated}) == len(stated)


def test_a_length_is_refused():
    assert [p.key for p in ProcessorConfig(max_length=8).problems()] == ["tokenizer.max_length"]


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"size": 10**9}, "names no size"),
        ({"size": -4}, "names no size"),
        ({"size": {"height": "a", "width": 4}}, "names no size"),
        ({"size": {"shortest_edge": float("inf")}}, "names no size"),
        ({"size": {"shortest_edge": 224}, "crop_pct": 1e-300}, "crop_pct"),
        ({"do_center_crop": True, "crop_size": 10**9}, "names no size"),
        ({"resample": "abc"}, "resample"),
        ({"resample": 99}, "resample"),
        ({"rescale_factor": float("nan")}, "rescale_factor"),
        ({"image_mean": [float("inf")] * 3}, "image_mean"),
        ({"image_std": "wide"}, "image_std"),
        ({"image_std": [10**400, 1, 1]}, "image_std"),
    ],
)
def test_absurd_settings_are_named(tmp_path, stated, said):
    with pytest.raises(ConfigError, match=said):
        build_tokenizer(tmp_path, ResNetConfig(), stated)


def test_a_processor_of_absurd_depth_is_one_panel(tmp_path):
    (tmp_path / "preprocessor_config.json").write_text('{"size":' + "[" * 200_000)
    with pytest.raises(SourceError, match="nested deeper"):
        build_tokenizer(tmp_path, ResNetConfig())
