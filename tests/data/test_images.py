"""Images from folders and idx files: which row is what, what is held out, and what the message on a damaged file says."""

from __future__ import annotations

import gzip
import os
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from ftcli.batching.image_files import open_image, read_idx
from ftcli.data.images import ImagesConfig, build
from ftcli.errors import ConfigError, DataError, SourceError


def write(file, colour):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(file)


@pytest.fixture
def folder(tmp_path):
    """Ten images of two classes to train on, two to validate on; names sort, classes too."""
    for number in range(10):
        write(tmp_path / "train" / ("dog" if number % 2 else "cat") / f"{number}.png", (number, 0, 0))
    for name in ("dog", "cat"):
        write(tmp_path / "val" / name / "0.jpg", (0, 200, 0))
    return tmp_path


def write_idx(folder, name, images, labels, *, packed=True):
    images, labels = np.asarray(images, np.uint8), np.asarray(labels, np.uint8)
    contents = {
        f"{name}-images-idx3-ubyte": struct.pack(">IIII", 0x803, *images.shape) + images.tobytes(),
        f"{name}-labels-idx1-ubyte": struct.pack(">II", 0x801, len(labels)) + labels.tobytes(),
    }
    for file, content in contents.items():
        if packed:
            (folder / f"{file}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / file).write_bytes(content)


def digits(count):
    return np.random.default_rng(count).integers(0, 256, (count, 3, 5)), np.arange(count) % 4


def read(folder, **values):
    return build(ImagesConfig(path=str(folder), **values), seed=3)


def test_folders_become_rows_in_sorted_order(folder):
    parts = read(folder)
    assert parts.train.columns["label"] == ["cat"] * 5 + ["dog"] * 5
    assert parts.train.columns["image"][0] == str(folder / "train/cat/0.png")
    assert len(parts.validation) == 2 and parts.test is None
    assert parts.train.where(5) == str(folder / "train/dog/1.png")


@pytest.mark.parametrize("name", ["validation", "val", "dev"])
def test_a_validation_folder_goes_by_four_names(folder, name):
    (folder / "val").rename(folder / name)
    assert len(read(folder).validation) == 2


def test_two_folders_for_one_part_are_refused(folder):
    write(folder / "dev" / "cat" / "0.png", (1, 1, 1))
    with pytest.raises(DataError, match="which one is the validation part"):
        read(folder)


def test_the_digest_is_of_contents_and_labels_not_of_places(folder, tmp_path_factory):
    before = read(folder).train.sha256
    moved = tmp_path_factory.mktemp("other") / "x"
    folder.rename(moved)
    assert read(moved).train.sha256 == before
    write(moved / "train/cat/0.png", (9, 9, 9))
    changed = read(moved).train.sha256
    assert changed != before
    (moved / "train/cat/0.png").rename(moved / "train/dog/00.png")
    assert read(moved).train.sha256 not in (before, changed)


def test_a_share_is_held_out_by_content_and_class(folder):
    shutil.rmtree(folder / "val")
    with pytest.raises(ConfigError, match="comes without a validation part") as caught:
        read(folder)
    assert "data.validation_share=0.1" in caught.value.problems[0].hint
    write(folder / "train/cat/copy.png", (0, 0, 0))  # the same image as cat/0.png
    parts = read(folder, validation_share=0.2)
    assert set(parts.validation.columns["label"]) == {"cat", "dog"}
    held, kept = parts.validation.columns["image.sha256"], parts.train.columns["image.sha256"]
    assert not set(held) & set(kept) and len(held) + len(kept) == 11
    (folder / "train/cat").rename(folder / "train/a")  # another order of rows
    again = read(folder, validation_share=0.2).validation.columns["image.sha256"]
    assert sorted(again) == sorted(held)


def test_limits_draw_rows_that_still_know_their_files(folder):
    parts = read(folder, limit_train=4, limit_validation=1)
    assert len(parts.train) == 4 and len(parts.validation) == 1
    assert parts.train.where(0) == parts.train.columns["image"][0]
    assert parts.decisions == ["train: 4 of 10 rows drawn by seed=3 (data.limit_train=4)",
                               "validation: 1 of 2 rows drawn by seed=3 (data.limit_validation=1)"]  # fmt: skip


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_become_rows(tmp_path, packed):
    images, labels = digits(12)
    write_idx(tmp_path, "train", images, labels, packed=packed)
    write_idx(tmp_path, "t10k", *digits(5), packed=packed)
    parts = read(tmp_path, validation_share=0.25)
    assert len(parts.train) + len(parts.validation) == 12 and len(parts.test) == 5
    assert set(parts.train.columns["label"]) == {"0", "1", "2", "3"}
    for row, (file, number) in enumerate(parts.train.columns["image"]):
        pixels = np.asarray(open_image((file, number), tmp_path, "", channels=1))
        assert (pixels == images[number]).all()
        assert parts.train.columns["label"][row] == str(labels[number])
        assert parts.train.where(row).endswith(f", image {number + 1}")


def test_the_only_pair_is_the_training_part_whatever_its_name(tmp_path):
    write_idx(tmp_path, "t10k", *digits(12))
    parts = read(tmp_path, validation_share=0.25)
    assert len(parts.train) + len(parts.validation) == 12 and parts.test is None
    assert "train: t10k-images-idx3-ubyte.gz, the only images there are" in parts.decisions


def test_damaged_idx_files_are_named(tmp_path):
    write_idx(tmp_path, "train", *digits(12))
    images, labels = (tmp_path / f"train-{n}-ubyte.gz" for n in ("images-idx3", "labels-idx1"))
    whole = images.read_bytes()
    for content in (whole[:-20], b"", b"no gzip at all", gzip.compress(gzip.decompress(whole)[:-1]),
                    gzip.compress(gzip.decompress(labels.read_bytes()))):  # fmt: skip
        images.write_bytes(content)
        with pytest.raises(DataError, match="no idx file") as caught:
            read(tmp_path, validation_share=0.25)
        assert caught.value.problems[0].key == str(images)
    images.write_bytes(whole)
    labels.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="comes without train-labels-idx1-ubyte.gz"):
        read(tmp_path, validation_share=0.25)


def test_a_file_that_changed_is_read_again(tmp_path):
    write_idx(tmp_path, "train", *digits(4), packed=False)
    file = tmp_path / "train-images-idx3-ubyte"
    assert len(read_idx(file, 3)) == 4
    write_idx(tmp_path, "train", *digits(7), packed=False)
    assert len(read_idx(file, 3)) == 7


def test_fewer_labels_than_images_are_refused(tmp_path):
    images, labels = digits(12)
    write_idx(tmp_path, "train", images, labels[:11])
    with pytest.raises(DataError, match="holds 12 images, .* 11 labels"):
        read(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "gone", "deep"])
def test_an_image_that_cannot_be_read_names_its_file(tmp_path, damage):
    file = tmp_path / "one.png"
    Image.effect_noise((64, 64), 50).save(file)
    content = file.read_bytes()
    if damage == "deep":
        Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(file)
    elif damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": content[: len(content) // 2], "text": b"no image", "empty": b""}[damage])
    with pytest.raises(DataError, match="one.png") as caught:
        open_image("one.png", tmp_path, "rows.csv:2", channels=3)
    assert caught.value.problems[0].key == "rows.csv:2"


def test_other_files_are_reported_and_empty_classes_refused(folder):
    (folder / "train/cat/Thumbs.db").write_bytes(b"x")
    assert any("1 files are no images" in line for line in read(folder).decisions)
    (folder / "train/cat/far").mkdir()
    for place in ("train/cat/far/deep.png", "train/loose.png"):
        (folder / place).write_bytes(b"x")
    said = "\n".join(read(folder).decisions)
    assert "train: 1 images in folders below" in said and "far/deep.png" in said
    assert "train: 1 images beside the class folders" in said and "train/loose.png" in said
    (folder / "train/bird").mkdir()
    with pytest.raises(DataError, match="bird holds no images"):
        read(folder)


def test_links_to_nothing_and_no_files_are_counted_and_not_followed(folder):
    (folder / "train/cat/gone.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "train/cat/pipe.png")
    (folder / "train/cat/zero.png").symlink_to("/dev/zero")
    (folder / "train/dog/root").symlink_to("/")
    parts = read(folder)
    assert len(parts.train) == 10
    (line,) = parts.decisions
    assert line == (
        f"train: 3 images are links to nothing, or no files, and are not read: {folder}/train/cat/gone.png"
    )


def test_a_file_that_is_larger_than_any_image_is_refused_before_it_is_read(folder):
    file = folder / "train/cat/0.png"
    with file.open("wb") as opened:
        opened.truncate(10**12)
    for act in (lambda: read(folder), lambda: open_image(str(file), folder, "rows.csv:2", channels=3)):
        with pytest.raises(DataError, match="has 1,000,000,000,000 bytes; expected at most 536,870,912"):
            act()


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match="no images in .* it holds nothing"):
        read(tmp_path)
    with pytest.raises(SourceError):
        read(tmp_path / "nowhere")


def test_only_local_folders_are_read():
    config = ImagesConfig(id="ylecun/mnist")
    config.files.train = "train.csv"
    assert [p.key for p in config.problems()] == ["data.id", "data.files.train"]
