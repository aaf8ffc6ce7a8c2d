"""Pixels are classified: masks are learned beside their pictures, scored, predicted and shown at the right place."""

import base64
import random
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from scratch import from_scratch
from torch.nn import functional

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.metrics.bootstrap import ratio
from blurr.metrics.masks import Dice, MeanIoU, PixelAccuracy, overlaps
from blurr.models.losses import loss_per_row
from blurr.models.objects import HFObjects
from blurr.serve.beside import FilesBeside
from blurr.tasks.notebook import load_learner
from blurr.vision.all import BlearnerForSemanticSegmentation, SemanticSegmentation, mask_of
from blurr.vision.augment import standard
from blurr.vision.overlays import as_png, mask_picture, overlay, palette
from blurr.vision.samples import KINDS, scenes
from blurr.vision.segments import PixelLoss, Segments, classes_at

pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")

NAMES = ["background", *KINDS]
SEGFORMER: dict[str, Any] = {
    **{"image_size": 32, "num_encoder_blocks": 2, "hidden_sizes": [8, 16], "depths": [1, 1], "strides": [2, 2]},
    **{"patch_sizes": [3, 3], "sr_ratios": [4, 1], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2]},
    **{"decoder_hidden_size": 16, "initializer_range": 0.1, "classifier_dropout_prob": 0.0},
}
BEIT: dict[str, Any] = {
    **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2},
    **{"intermediate_size": 16, "out_indices": [0, 1, 2, 3], "use_auxiliary_head": True, "auxiliary_channels": 8},
}
FAMILIES: dict[str, dict[str, Any]] = {
    "segformer": SEGFORMER,
    "beit": BEIT,
    "data2vec-vision": BEIT,
    "mobilenet_v2": {"depth_multiplier": 0.35, "image_size": 32},
    "mobilevit": {
        **{"image_size": 32, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 12, 16, 24, 32, 32]},
        **{"num_attention_heads": 2, "aspp_out_channels": 16, "atrous_rates": [1, 2, 3]},
    },
    "mobilevitv2": {"image_size": 64, "width_multiplier": 0.25, "aspp_out_channels": 16, "atrous_rates": [1, 2, 3]},
    "dpt": {
        **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2},
        **{"intermediate_size": 16, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8, 8, 8, 8]},
        **{"fusion_hidden_size": 8, "is_hybrid": False, "auxiliary_loss_weight": 0.0},
    },
    "upernet": {
        "backbone_config": {
            **{"model_type": "convnext", "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "num_stages": 4},
            "out_features": ["stage1", "stage2", "stage3", "stage4"],
        },
        **{"hidden_size": 8, "auxiliary_channels": 8, "auxiliary_in_channels": 8, "pool_scales": [1, 2]},
    },
}


def rows(count: int, **columns: Any) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [{**scenes(rng), "is_valid": i >= 0.7 * count, **columns} for i in range(count)]


def task_and_objects(arch: str = "segformer", count: int = 10, **settings: Any) -> tuple[Any, Any, HFObjects]:
    torch.manual_seed(0)
    task = SemanticSegmentation(**{"label_names": NAMES, "size": 32, **settings})
    raw = task.prepare(from_data(task.row_schema(), rows(count)))
    return task, raw, from_scratch(task, raw, arch, FAMILIES[arch])


def learner(arch: str = "segformer", count: int = 10, *, augment: Any = None, **settings: Any) -> tuple[Any, Any]:
    task, raw, hf = task_and_objects(arch, count, **settings)
    dls = task.dataloaders(raw, hf, Loader(batch_size=4, cache=False), augment=augment)
    metrics = {"mean_iou": MeanIoU(), "pixel_accuracy": PixelAccuracy(), "dice": Dice()}
    learn = task.learner(dls, hf, raw=raw, metrics=metrics)
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn, raw


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segformer")
    _, _, hf = task_and_objects()
    hf.model.save_pretrained(folder)
    hf.processor.save_pretrained(folder)
    return folder


def test_a_learner_learns_predicts_shows_and_is_exported(checkpoint: Path, work: Path):
    given = [
        {"photo": row["image"], "labels": np.asarray(row["mask"]), "is_valid": row["is_valid"]} for row in rows(24)
    ]
    learn = BlearnerForSemanticSegmentation.from_data(
        given, checkpoint, "photo", "labels", size=32, label_names=NAMES, dl_kwargs={"bs": 4}
    )
    learn.logger = lambda *_: None
    learn.unfreeze()
    before = learn.validate()
    with learn.no_bar():
        learn.fit(8, 1e-2)
    after = learn.validate()
    assert after[0] < 0.7 * before[0]
    assert learn.recorder.metric_names[3:5] == ["mean_iou", "pixel_accuracy"]
    items = [row["photo"] for row in given[:3]]
    results = learn.predict(items)
    for item, result in zip(items, results, strict=True):
        mask = mask_of(result)
        assert mask.size == item.size
        shares = np.bincount(np.asarray(mask).ravel(), minlength=len(NAMES)) / mask.width / mask.height
        assert result["labels"] == pytest.approx(
            {name: share for name, share in zip(NAMES, shares, strict=True) if share}
        )
        assert result["class_labels"] == NAMES
        assert list(result["labels"].values()) == sorted(result["labels"].values(), reverse=True)
    assert learn.predict(items[1])[0] == results[1]
    wide = mask_of(learn.predict(items[0].resize((90, 40)))[0])
    assert wide.size == (90, 40)
    shown = learn.show_results(show=False, max_n=3)
    assert [set(row) for row in shown] == [{"image", "true_mask", "predicted_mask"}] * 3
    assert {"image", "true_mask"} <= set(learn.dls.show_batch(show=False)[0])
    worst = learn.top_losses(2)
    assert worst[0]["loss"] >= worst[1]["loss"]
    assert {"predicted_mask", "iou", "target", "prediction"} <= set(worst[0])
    _, targets, decoded, losses = learn.get_preds(with_decoded=True, with_loss=True)
    assert decoded.shape == targets.shape == (len(losses), 32, 32)
    learn.export("learner.pkl")
    assert load_learner("learner.pkl").predict(items) == results


@pytest.mark.parametrize("arch", FAMILIES)
@pytest.mark.slow
def test_every_family_trains_and_predicts_masks(arch: str):
    learn, raw = learner(arch, **({"size": 64} if arch == "mobilevitv2" else {}))
    logits = learn.get_preds(dl=[learn.dls.valid.one_batch()])[0]
    assert logits.shape[1:] == (len(NAMES), *learn.dls.one_batch()[1].shape[1:])
    before = [parameter.clone() for parameter in learn.model.parameters()]
    with learn.no_bar():
        learn.fit(1)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert np.isfinite(learn.validate()[0])
    result = learn.predict(rows(1)[0]["image"])[0]
    assert mask_of(result).size == (64, 64)


def test_all_families_that_transformers_registers_are_tried():
    known = set(transformers.models.auto.modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES)
    assert known == {*FAMILIES, "sapiens2", "tipsv2_dpt"}  # the latter two are large whatever their config says


def test_scores_are_those_of_the_described_rows_and_of_torchmetrics():
    from torchmetrics.classification import MulticlassJaccardIndex

    task, raw, hf = task_and_objects(count=12)
    dls = task.dataloaders(raw, hf, Loader(batch_size=3, cache=False))
    theirs = MulticlassJaccardIndex(len(NAMES), average="macro", ignore_index=None)
    learn = task.learner(dls, hf, raw=raw, metrics={"mean_iou": MeanIoU(), "theirs": theirs, "dice": Dice()})
    with learn.no_bar():
        found = task.evaluate(learn, raw)
    counts = {name: np.zeros(3) for name in NAMES}
    for row in found.rows:
        assert sum(true for true, *_ in row["pixels"].values()) == row["target_count"]
        assert row["pixel_accuracy"] == row["right_count"] / row["target_count"]
        for name, (true, predicted, both) in row["pixels"].items():
            counts[name] += (true, predicted, both)
            assert row["iou"][name] == both / (true + predicted - both)
    true, predicted, both = np.array(list(counts.values())).T
    there = true + predicted > 0
    assert found.metrics["mean_iou"] == pytest.approx(ratio(both, true + predicted - both)[there].mean())
    assert found.metrics["theirs"] == pytest.approx(found.metrics["mean_iou"], abs=1e-5)
    assert found.metrics["dice"] == pytest.approx(ratio(2 * both, true + predicted)[there].mean())
    url = task.target.preview(raw.valid[0], found.rows[0])
    three = Image.open(BytesIO(base64.b64decode(url.partition(",")[2])))
    assert three.width > 2 * three.height
    low, high = found.intervals["mean_iou"]
    assert low <= found.metrics["mean_iou"] <= high


def test_pixels_without_a_class_count_nowhere():
    torch.manual_seed(0)
    logits, true = torch.randn(3, 4, 5, 5), torch.randint(0, 4, (3, 5, 5))
    true[0], true[1, :2] = IGNORED, IGNORED
    real = true != IGNORED
    weight = torch.tensor([1.0, 2.0, 0.5, 1.0])
    for options in ({}, {"weight": weight}, {"label_smoothing": 0.1}):
        expected = functional.cross_entropy(logits.movedim(1, -1)[real], true[real], **options)
        torch.testing.assert_close(PixelLoss(**options)(logits, true), expected)
    each = loss_per_row(PixelLoss(), logits, true)
    assert each[0] == 0
    torch.testing.assert_close(each[2], functional.cross_entropy(logits[2:], true[2:]))
    assert PixelLoss()(logits[:1], true[:1]) == 0
    assert overlaps(logits.argmax(1), true, 4)[0].sum() == 0
    metric = MeanIoU()
    metric.name_classes("abcd")
    metric.update(logits.argmax(1)[:1], true[:1])
    assert np.isnan(metric.compute())


def test_a_pixels_class_does_not_depend_on_how_many_classes_are_compared_at_a_time(monkeypatch):
    logits = torch.randn(7, 8, 8, generator=torch.Generator().manual_seed(0))
    logits[3] = logits[1]  # of equals the first
    whole = classes_at(logits, (20, 30))
    monkeypatch.setattr("blurr.vision.segments.MOST_NUMBERS", 1200)
    assert np.array_equal(classes_at(logits, (20, 30)), whole)
    expected = functional.interpolate(logits[None], size=(20, 30), mode="bilinear")[0].argmax(0)
    assert np.array_equal(whole, expected.numpy())


def test_class_weights_are_of_pixels(tmp_path: Path):
    task, raw, hf = task_and_objects(class_weights="balanced")
    weights = task.target.loss_func(hf, raw).weight
    masks = [np.asarray(Image.fromarray(np.asarray(row["mask"])).resize((32, 32), 0)) for row in rows(10)[:7]]
    counts = np.bincount(np.concatenate([mask.ravel() for mask in masks]), minlength=len(NAMES))
    assert weights.tolist() == pytest.approx((counts.sum() / (len(NAMES) * counts.clip(min=1))).tolist())


def test_masks_are_augmented_with_their_pictures():
    learn, _ = learner(augment=standard(max_rotate=45.0, flip=True, erase=0.0))
    batch = learn.dls.train.one_batch()
    assert IGNORED in batch[1]  # what came in from outside
    assert torch.equal(batch[0]["labels"], batch[1])
    assert IGNORED not in learn.dls.valid.one_batch()[1]


def test_masks_are_kept_on_the_disk_as_the_pixels_are(work: Path, monkeypatch):
    monkeypatch.setenv("BLURR_CACHE", str(work / "cache"))
    task, raw, hf = task_and_objects()
    first = task.dataloaders(raw, hf, Loader(batch_size=4))
    plain = task.dataloaders(raw, hf, Loader(batch_size=4, cache=False))
    for _ in range(2):
        assert torch.equal(first.valid.one_batch()[1], plain.valid.one_batch()[1])
    columns = task.dataloaders(raw, hf, Loader(batch_size=4)).valid.dataset.columns
    assert {name: column.kept.missing for name, column in columns.items()} == {"pixel_values": 0, "labels": 0}


def test_a_prediction_of_many_classes_is_a_png_of_16_bits():
    ids = np.array([[0, 299], [1, 2]])
    names = [str(i) for i in range(300)]
    made = mask_picture(ids, palette(names))
    assert np.array_equal(np.asarray(made), ids)


def test_masks_are_files_beside_a_table_of_predictions(work: Path):
    beside = FilesBeside(work / "labels.csv", Segments.files)
    mask = as_png(mask_picture(np.array([[0, 1]]), palette("ab")))
    results = [beside({"image": path}, {"mask": mask}) for path in ("a/p.jpg", "b/p.jpg", None)]
    assert [result["mask"] for result in results] == [f"labels_masks/{name}.png" for name in ("p", "p_2", "3")]
    assert np.asarray(Image.open(work / "labels_masks" / "p_2.png")).tolist() == [[0, 1]]
    assert isinstance(beside({"image": "c"}, InputError("broken")), InputError)


def test_an_overlay_leaves_pixels_without_a_class_as_they_are():
    picture = Image.new("RGB", (4, 2), (100, 100, 100))
    classes = np.array([[1, IGNORED], [1, IGNORED]])
    pixels = np.asarray(overlay(picture, classes, np.array([[0, 0, 0], [200, 0, 50]], dtype=np.uint8)))
    assert pixels[0, 0].tolist() == [150, 50, 75]
    assert pixels[1, 3].tolist() == [100, 100, 100]


def test_other_metrics_and_losses_say_what_they_need():
    from blurr.metrics.classification import Accuracy
    from blurr.metrics.streamed import streamed

    task, raw, hf = task_and_objects()
    with pytest.raises(InputError, match=r"predicts masks\. Choose metrics=\[mean_iou,pixel_accuracy,dice\]"):
        streamed({"accuracy": Accuracy()}, task.target.scored(hf))
    custom, *_ = learner(loss=torch.nn.CrossEntropyLoss())
    with custom.no_bar():
        custom.fit(1)
    assert np.isfinite(custom.validate()[0])
