"""Masks: what their values mean, which are refused, and that they stay beside their pictures."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import BeitImageProcessor, MobileViTImageProcessor, SegformerImageProcessor, ViTImageProcessor

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.rows import IGNORED
from blurr.models.objects import HFObjects
from blurr.vision.masks import MASKS, Legend, Value, check_colours, values_in
from blurr.vision.segments import Segments
from blurr.vision.semantic_segmentation import SemanticSegmentation

ROAD, SKY = (128, 64, 128), (70, 130, 180)
IDS = np.array([[0, 1, 2], [255, 1, 0]], dtype=np.uint8)


def content(mask: Image.Image, form: str = "PNG") -> bytes:
    made = BytesIO()
    mask.save(made, form)
    return made.getvalue()


def palette(ids: np.ndarray) -> Image.Image:
    made = Image.fromarray(ids, "P")
    made.putpalette([0, 0, 0, *ROAD, *SKY] + [0, 0, 0] * 252 + [224, 224, 192])
    return made


OF_IDS = {
    "grey": Image.fromarray(IDS),
    "16 bits": Image.fromarray(IDS.astype(np.uint16)),
    "palette": palette(IDS),
    "grey with alpha": Image.fromarray(np.stack([IDS, IDS * 0 + 255], axis=2), "LA"),
    "grey saved as colours": Image.fromarray(np.stack([IDS] * 3, axis=2)),
}


@pytest.mark.parametrize("mask", OF_IDS.values(), ids=OF_IDS)
def test_a_mask_of_ids_means_the_same_in_every_mode(mask: Image.Image):
    legend = Legend(("a", "b", "c"), ignore_index=255)
    values = MASKS.examine(content(mask))["values"]
    legend.check(values)
    assert {Value.read(text).id for text in values.split()} == {0, 1, 2, 255}
    assert legend.classes(mask).tolist() == [[0, 1, 2], [IGNORED, 1, 0]]


def test_black_and_white_are_the_ids_0_and_1():
    mask = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert Legend(("a", "b"), ignore_index=255).classes(mask).tolist() == [[0, 1]]
    colours = {"black": (0, 0, 0), "white": (255, 255, 255)}
    assert Legend(("white", "black"), colours).classes(mask).tolist() == [[1, 0]]


def test_colours_have_their_names_and_one_of_them_no_class():
    pixels = np.array([[ROAD, SKY, (0, 0, 0)]], dtype=np.uint8)
    legend = Legend(("road", "sky"), {"road": ROAD, "ignore": (0, 0, 0), "sky": SKY}, ignore_index=255)
    for mask in (Image.fromarray(pixels), palette(np.array([[1, 2, 0]], dtype=np.uint8))):
        legend.check(MASKS.examine(content(mask))["values"])
        assert legend.classes(mask).tolist() == [[0, 1, IGNORED]]


@pytest.mark.parametrize("value", [Value(3, (3, 3, 3)), Value(3, ROAD), Value(None, SKY), Value(70_000, None)], ids=str)
def test_a_value_is_read_as_it_was_written(value: Value):
    assert Value.read(str(value)) == value


REFUSED: dict[str, tuple[Image.Image, Legend, str]] = {
    "an unknown id": (OF_IDS["grey"], Legend(("a", "b"), ignore_index=255), r"holds the id 2, and the 2 classes"),
    "an id that is no class": (OF_IDS["grey"], Legend(("a", "b", "c")), r"holds the id 255.*task\.ignore_index"),
    "an unknown colour": (
        Image.new("RGB", (2, 2), (128, 64, 127)),
        Legend(("road",), {"road": ROAD}),
        r"holds the colour \[128, 64, 127\], which task.colours does not have; the nearest is road: \[128, 64, 128\]",
    ),
    "colours without a map": (
        Image.new("RGB", (2, 2), ROAD),
        Legend(("a",)),
        r"holds colours, such as \[128, 64, 128\]",
    ),
    "16 bits with a map": (
        Image.fromarray(np.array([[300]], dtype=np.uint16)),
        Legend(("road",), {"road": ROAD}),
        "holds a class without a colour",
    ),
}


@pytest.mark.parametrize(("mask", "legend", "message"), REFUSED.values(), ids=REFUSED)
def test_a_value_without_a_meaning_is_refused(mask: Image.Image, legend: Legend, message: str):
    with pytest.raises(InputError, match=message):
        legend.check(MASKS.examine(content(mask))["values"])
    with pytest.raises(InputError, match=message):
        legend.classes(mask)


def test_photos_and_jpegs_are_not_masks():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="different colours, more than a mask has classes"):
        MASKS.examine(content(Image.fromarray(noise)))
    with pytest.raises(InputError, match="is a JPEG, which blurs the ids"):
        MASKS.examine(content(OF_IDS["grey"], "JPEG"))
    with pytest.raises(InputError, match=r"an array \(2, 3\) of float64"):
        MASKS.pack(np.zeros((2, 3)))


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.uint16, np.int64])
def test_arrays_of_ids_are_masks(kind: Any):
    ids = (np.arange(6).reshape(2, 3) % 2).astype(kind)
    packed = MASKS.pack(ids)
    assert packed is not None
    values, places = values_in(Image.open(BytesIO(packed[0])))
    assert [value.id for value in values] == [0, 1]
    assert places.tolist() == ids.astype(int).tolist()


WRONG_COLOURS = {
    "not a colour": ({"road": [1, 2]}, None, r"task\.colours\.road=\[1, 2\] is not a colour"),
    "twice": ({"road": [1, 2, 3], "sky": [1, 2, 3]}, None, r"gives \['road', 'sky'\] the same colour"),
    "another name": ({"road": [1, 2, 3]}, ["rod"], r"label_names has \['rod'\]"),
}


@pytest.mark.parametrize(("colours", "names", "message"), WRONG_COLOURS.values(), ids=WRONG_COLOURS)
def test_a_map_of_colours_is_checked(colours: Any, names: Any, message: str):
    with pytest.raises(InputError, match=message):
        check_colours(colours, names)


# -- rows


def rows(masks: list[Image.Image], sizes: list[tuple[int, int]] | None = None) -> list[dict[str, Any]]:
    pictures = [Image.new("RGB", size) for size in sizes or [mask.size for mask in masks]]
    return [
        {"image": picture, "mask": mask, "is_valid": i % 2}
        for i, (picture, mask) in enumerate(zip(pictures, masks, strict=True))
    ]


def names_of(masks: list[Image.Image], **settings: Any) -> list[str]:
    task = SemanticSegmentation(**settings)
    config = task.target.model_config(task.prepare(from_data(task.row_schema(), rows(masks))))
    return list(config["id2label"].values())


def test_ids_are_places_in_label_names_whatever_the_order_of_the_model():
    legend = Segments(label_names=["a", "b", "c"]).legend(["c", "a", "b"])
    assert legend.classes(OF_IDS["grey"]).tolist() == [[1, 2, 0], [IGNORED, 2, 1]]


def test_classes_are_named_by_the_user_by_colours_or_by_ids():
    grey, coloured = OF_IDS["grey"], Image.fromarray(np.array([[ROAD, SKY]], dtype=np.uint8))
    assert names_of([grey] * 4) == ["0", "1", "2"]
    assert names_of([grey] * 4, label_names=["a", "b", "c"]) == ["a", "b", "c"]
    colours = {"sky": list(SKY), "ignore": [0, 0, 0], "road": list(ROAD)}
    assert names_of([coloured] * 4, colours=colours) == ["sky", "road"]


NAMELESS = {
    "one class": (Image.fromarray(np.array([[0, 255]], dtype=np.uint8)), r"have one class, \['0'\].*ignore_index=null"),
    "large ids": (Image.fromarray(np.array([[0, 5000]], dtype=np.uint16)), "ids up to 5000"),
    "colours": (Image.new("RGB", (2, 2), ROAD), r"hold colours, not ids of classes.*task\.colours"),
}


@pytest.mark.parametrize(("mask", "message"), NAMELESS.values(), ids=NAMELESS)
def test_masks_that_name_no_classes_are_refused(mask: Image.Image, message: str):
    with pytest.raises(InputError, match=message):
        names_of([mask] * 4)


def objects(processor: Any, names: list[str]) -> HFObjects:
    config = type("Config", (), {"id2label": dict(enumerate(names)), "num_labels": len(names)})()
    return HFObjects("segformer", config, processor, None)  # type: ignore[arg-type]


def test_masks_that_do_not_fit_are_named_in_one_message(tmp_path: Path):
    for i in range(4):
        Image.fromarray(IDS * (i % 2)).save(tmp_path / f"mask{i}.png")
        Image.new("RGB", (3, 2 if i else 5)).save(tmp_path / f"picture{i}.png")
    given = [
        {"image": str(tmp_path / f"picture{i}.png"), "mask": str(tmp_path / f"mask{i}.png"), "is_valid": 0}
        for i in range(4)
    ]
    task = SemanticSegmentation(label_names=["a", "b"])
    raw = from_data(task.row_schema(), [*given, {**given[2], "is_valid": 1}])
    with pytest.raises(InputError) as raised:
        task.encoded(raw.train.to_dict(), objects(SegformerImageProcessor(), ["a", "b"]))
    message = str(raised.value)
    assert "3 of 4 masks cannot be used" in message
    assert f"{tmp_path / 'mask0.png'} has 3 x 2 pixels, and its picture {tmp_path / 'picture0.png'} 3 x 5" in message
    assert f"{tmp_path / 'mask1.png'} holds the id 2" in message


PROCESSORS = {
    "SegFormer": SegformerImageProcessor(size={"height": 48, "width": 48}),
    "ViT": ViTImageProcessor(size={"height": 40, "width": 40}),
    "MobileViT, which crops": MobileViTImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 48, "width": 48}
    ),
    "BEiT, which crops": BeitImageProcessor(
        size={"height": 64, "width": 64}, do_center_crop=True, crop_size={"height": 48, "width": 48}
    ),
}


@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("size", [None, 32])
def test_a_mask_lies_where_its_picture_shows_the_shape(processor: Any, size: int | None):
    ids = np.zeros((80, 120), dtype=np.uint8)
    ids[10:35, 60:115] = 1  # far from the middle, and nearly at the border
    shown = Image.fromarray(np.stack([ids * 255] * 3, axis=2))
    task = SemanticSegmentation(size=size)
    raw = from_data(task.row_schema(), [{"image": shown, "mask": ids, "is_valid": i % 2} for i in range(4)])
    hf = objects(type(processor)(**processor.to_dict()), ["0", "1"])
    task.check(hf)
    row = task.encoded(raw.train.to_dict(), hf)[0]
    channel = row["pixel_values"][0]
    assert row["labels"].shape == channel.shape
    seen = channel > 127
    assert (seen == (row["labels"] == 1)).mean() > 0.98
    if size:
        assert channel.shape == (size, size)


LAYOUTS = {
    "folders of roles": ("images/{}.jpg", "masks/{}.png"),
    "splits in folders of roles": ("images/{split}/{}.jpg", "masks/{split}/{}.png"),
    "folders of roles in splits": ("{split}/images/{}.jpg", "{split}/masks/{}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_pictures_and_masks_of_equal_names_are_a_row(layout: tuple[str, str], tmp_path: Path):
    for i in range(8):
        for template, made in zip(layout, (Image.new("RGB", (3, 2), (20 * i, 0, 0)), OF_IDS["palette"]), strict=True):
            path = tmp_path / template.format(i, split="valid" if i > 5 else "train")
            path.parent.mkdir(parents=True, exist_ok=True)
            made.save(path)
    raw = from_data(SemanticSegmentation().row_schema(), tmp_path)
    assert len(raw.train) + len(raw.valid) == 8
    assert len(raw.valid) == (2 if "split" in layout[0] else len(raw.valid))
    for row in [*raw.train, *raw.valid]:
        assert Path(row["image"]["path"]).stem == Path(row["mask"]["path"]).stem
        assert row["mask"]["values"] == "0 1#804080 2#4682b4 255#e0e0c0"


ALONE = {
    "no mask": (
        ["images/a.png", "images/b.png", "masks/a.png"],
        r"1 files have no mask of the same name: images/b\.png",
    ),
    "no picture": (["images/a.png", "masks/a.png", "masks/b.png"], r"1 files have no image of the same name: masks/b"),
    "two of a name": (
        ["images/a.png", "images/a.gif", "masks/a.png"],
        r"images/a\.gif and images/a\.png have the same",
    ),
    "no folder": (["images/a.png"], r"no files in a folder masks\. Put files .* into images/ and masks/"),
}


@pytest.mark.parametrize(("names", "message"), ALONE.values(), ids=ALONE)
def test_files_without_a_partner_are_named(names: list[str], message: str, tmp_path: Path):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        OF_IDS["grey"].save(tmp_path / name)
    with pytest.raises(InputError, match=message):
        from_data(SemanticSegmentation().row_schema(), tmp_path)


def test_palettes_and_16_bits_in_memory_keep_their_ids():
    for mask in (OF_IDS["palette"], OF_IDS["16 bits"], IDS, IDS.astype(np.uint16)):
        given = [{"photo": Image.new("RGB", (3, 2)), "seen": mask, "is_valid": i % 2} for i in range(4)]
        raw = from_data(SemanticSegmentation().row_schema(), given, columns={"image": "photo", "mask": "seen"})
        assert {Value.read(text).id for text in raw.train[0]["mask"]["values"].split()} == {0, 1, 2, 255}


def test_settings_of_the_loss_are_checked():
    with pytest.raises(InputError, match="2 numbers for 3 classes"):
        Segments(class_weights=[1.0, 2.0])._weights(objects(None, ["a", "b", "c"]), None)  # type: ignore[arg-type]
