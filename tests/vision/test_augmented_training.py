"""Train on augmented pictures, and predict by the mean over changed copies."""

import json
from pathlib import Path

import numpy as np
import pytest
import running
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file
from stopping import StopAt

from blurr.config import composing
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.sheets import sheet
from blurr.plan import plan
from blurr.serve.predictor import Predictor
from blurr.tasks.parts import build_augment, build_hf, build_raw
from blurr.vision.augment import light, standard
from blurr.vision.image_classification import ImageClassification
from blurr.vision.sheets import augmented_sheet
from blurr.vision.tta import AveragingWrapper

TINY = (
    *("task=image_classification", "model.scratch.hidden_sizes=[8,16]", "model.scratch.depths=[1,1]"),
    *("model.scratch.embedding_size=8", "data.rows=60", "loader.batch_size=8", "tracking=none", "schedule.epochs=2"),
)
AUGMENTED = ("augment=standard", "augment.flip=true", "callbacks=[mixup]")


@pytest.fixture(scope="module")
def made():
    cfg = composing.compose([*TINY, "model.weights=scratch"])
    task = ImageClassification()
    raw = build_raw(cfg, task)
    return task, raw, build_hf(cfg, task, raw)


def test_training_batches_are_augmented_by_seed_epoch_and_row_and_no_others(made):
    task, raw, hf = made
    plain, augmented = (task.dataloaders(raw, hf, Loader(batch_size=8), augment=each) for each in (None, standard()))
    first, again = (next(iter(dls.train))[0]["pixel_values"] for dls in (plain, augmented))
    assert not torch.equal(first, again)
    assert torch.equal(*(next(iter(dls.valid))[0]["pixel_values"] for dls in (plain, augmented)))
    seen = []
    for batch_size in (8, 4):
        train = task.dataloaders(raw, hf, Loader(batch_size=batch_size), augment=standard()).train
        seen.append({int(n): x for b, _ in train for n, x in zip(b["seeds"], b["pixel_values"], strict=True)})
        assert seen[-1].keys().isdisjoint(int(n) for b, _ in train for n in b["seeds"])  # of the next epoch
    assert seen[0].keys() == seen[1].keys()
    for seed, picture in seen[0].items():
        torch.testing.assert_close(picture, seen[1][seed], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_run_on_augmented_and_mixed_pictures_goes_on_to_the_same_end(work: Path, monkeypatch: pytest.MonkeyPatch):
    words = [*TINY, *AUGMENTED, "checkpoint.every_steps=2"]
    stopper = ("+callbacks.stopper={_target_: stopping.StopAt}",)
    monkeypatch.setattr(StopAt, "batch", 0)
    running.run(work / "whole", *words, usual=stopper)
    monkeypatch.setattr(StopAt, "batch", 9)
    with pytest.raises(RuntimeError, match="the power is gone"):
        running.run(work / "out", *words, usual=stopper)
    monkeypatch.setattr(StopAt, "batch", 0)
    running.run(work / "out", *words, "resume=auto", usual=stopper)
    a, b = (load_file(work / name / "model" / "model.safetensors") for name in ("out", "whole"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (work / "out" / "metrics.json").read_text() == (work / "whole" / "metrics.json").read_text()
    running.run(work / "plain", *TINY, usual=stopper)
    plain = load_file(work / "plain" / "model" / "model.safetensors")
    assert any(not torch.equal(a[name], plain[name]) for name in a)


def test_a_plan_says_whether_pictures_are_mirrored():
    for words, said in ((["augment=light"], "not mirrored; augment.flip=true"), (AUGMENTED[:2], "are mirrored")):
        facts = dict(plan(composing.compose([*TINY, "model.weights=scratch", *words]))["training"])
        assert said in facts["augmentation"]


def test_no_augmentation_is_none():
    assert build_augment(composing.compose([*TINY])) is None
    assert build_augment(OmegaConf.create({})) is None  # a record of an earlier version
    assert build_augment(composing.compose([*TINY, "augment=light"])) == light()


def test_auto_sizes_and_precisions_come_of_batches_that_are_not_mixed(work: Path):
    words = ("loader.batch_size=auto", "precision=auto", "data.rows=40", "schedule.epochs=1")
    running.run(work / "out", *TINY, *AUGMENTED, *words)


# -- test-time augmentation


def test_a_prediction_is_the_mean_over_the_picture_and_its_copies(made):
    task, raw, hf = made
    wrapper = AveragingWrapper(hf.model, hf.processor, 3).eval()
    x = next(iter(task.dataloaders(raw, hf, Loader(batch_size=8)).valid))[0]
    with torch.no_grad():
        found = wrapper(x)["logits"].softmax(-1)
        sets = [x["pixel_values"], *(wrapper._changed(x["pixel_values"], copy) for copy in (1, 2, 3))]
        expected = torch.stack([hf.model(each)["logits"].softmax(-1) for each in sets]).mean(0)
        alone = torch.cat([wrapper({"pixel_values": each[None]})["logits"].softmax(-1) for each in x["pixel_values"]])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(alone, found, atol=1e-5, rtol=1e-5)
    assert len({float(each.sum()) for each in sets}) == 4
    wrapper.train()
    assert "loss" in wrapper({**x})


@pytest.mark.parametrize("kind", ["multi_label_classification", "regression"])
def test_labels_and_numbers_are_means_too(made, kind: str, monkeypatch: pytest.MonkeyPatch):
    _, _, hf = made
    monkeypatch.setattr(hf.model.config, "problem_type", kind)
    wrapper = AveragingWrapper(hf.model, hf.processor, 2).eval()
    shares = torch.rand(4, 3)
    torch.testing.assert_close(wrapper._shares(wrapper._logits(shares)), shares)


def test_a_score_with_copies_comes_out_of_the_saved_model_again(work: Path):
    running.run(work / "out", *TINY, "task.tta=2")
    predictor = Predictor.load(work / "out")
    assert isinstance(predictor.learner.model, AveragingWrapper)
    rows = [json.loads(line) for line in (work / "out" / "predictions.jsonl").read_text().splitlines()]
    cfg = composing.compose([*TINY, "model.weights=scratch"])
    raw = build_raw(cfg, ImageClassification())
    found = predictor.predict([{"image": image} for image in raw.splits["valid"]["image"]])
    for row, result in zip(rows, found, strict=True):
        assert result["label"] == row["prediction"]
        assert result["score"] == pytest.approx(row["score"], abs=1e-5)


# -- sheets


def test_a_sheet_shows_pictures_in_rows_with_their_captions():
    pictures = [Image.new("RGB", (16, 12), color) for color in ("red", "green", "blue")]
    made = np.asarray(sheet(pictures, ["a", "b", "a caption that is too long for its picture"], columns=2))
    for color in ((255, 0, 0), (0, 128, 0), (0, 0, 255)):
        assert ((made == color).all(-1)).sum() == (16 * 8) * (12 * 8)
    assert sheet(pictures, columns=9).width > sheet(pictures, columns=2).width
    assert max(sheet([Image.new("L", (3000, 10))]).size) < 400


@pytest.mark.parametrize(("count", "captions"), [(0, None), (2, ["one"])], ids=["none", "too few captions"])
def test_a_sheet_of_nothing_or_with_too_few_captions_is_refused(count: int, captions: list[str] | None):
    with pytest.raises(InputError, match=f"A sheet of {count} pictures"):
        sheet([Image.new("RGB", (4, 4))] * count, captions)


def test_augmented_pictures_stand_beside_the_plain_one(made):
    task, raw, hf = made
    dls = task.dataloaders(raw, hf, Loader(), augment=standard())
    wide = augmented_sheet(dls, rows=2, copies=3)
    plain = augmented_sheet(task.dataloaders(raw, hf, Loader()), rows=2, copies=3)
    assert wide.size == plain.size
    quarter = wide.width // 4
    first, rest = (quarter, wide.height), (quarter, 0, wide.width, wide.height)
    assert np.array_equal(*(np.asarray(each.crop((0, 0, *first))) for each in (wide, plain)))
    assert not np.array_equal(*(np.asarray(each.crop(rest)) for each in (wide, plain)))
