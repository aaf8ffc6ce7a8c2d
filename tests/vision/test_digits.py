"""Handwritten digits come with scikit-learn: real pictures for whoever has no network."""

from sklearn.datasets import load_digits as bundled

from blurr.data.splits import Splits
from blurr.vision.digits import load_digits
from blurr.vision.image_classification import ImageClassification
from blurr.vision.images import open_picture


def test_digits_are_ink_on_white_with_their_labels_in_both_splits():
    raw = load_digits(ImageClassification().row_schema(), splits=Splits(by="stratified", valid=0.2))
    assert (len(raw.train), len(raw.valid)) == (1438, 359)
    assert set(raw.train["label"]) == set(raw.valid["label"]) == set("0123456789")
    picture = open_picture(raw.train[0]["image"])
    assert picture.size == (8, 8)
    assert sum(map(int, raw.train["label"][:])) + sum(map(int, raw.valid["label"][:])) == bundled().target.sum()
    assert picture.getpixel((0, 0)) == (255, 255, 255)
