"""Objects are found: boxes are learned beside their pictures, scored, predicted and drawn at the right place."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from scratch import from_scratch

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.metrics.boxes import MeanAveragePrecision, MeanAverageRecall
from blurr.models.objects import HFObjects
from blurr.tasks.notebook import load_learner
from blurr.vision.all import BlearnerForObjectDetection, ObjectDetection, outlined
from blurr.vision.augment import light, standard, trivial
from blurr.vision.box_batches import BoxCollator, as_lists, moved_boxes
from blurr.vision.samples import boxed_scenes

pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")

RESNET: dict[str, Any] = {
    **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    **{"downsample_in_first_stage": False, "out_features": ["stage2"]},
}
DETR: dict[str, Any] = {
    **{"image_size": 32, "backbone_config": RESNET, "d_model": 16, "num_queries": 6, "encoder_layers": 1},
    **{"decoder_layers": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_attention_heads": 2},
    **{"decoder_attention_heads": 2},
}
DEFORMABLE: dict[str, Any] = {
    **DETR,
    **{"d_model": 32, "num_feature_levels": 1, "encoder_n_points": 2, "decoder_n_points": 2, "auxiliary_loss": True},
}
RT_DETR: dict[str, Any] = {
    **{"image_size": 32, "freeze_backbone_batch_norms": False, "encoder_in_channels": [16], "feat_strides": [8]},
    "backbone_config": {
        **{"model_type": "rt_detr_resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        **{"layer_type": "basic", "out_features": ["stage2"]},
    },
    **{"encode_proj_layers": [0], "encoder_hidden_dim": 16, "encoder_ffn_dim": 16, "encoder_attention_heads": 2},
    **{"d_model": 16, "num_queries": 6, "num_denoising": 4, "num_feature_levels": 1, "decoder_n_levels": 1},
    **{"decoder_in_channels": [16], "decoder_layers": 2, "decoder_ffn_dim": 16, "decoder_attention_heads": 2},
}
D_FINE: dict[str, Any] = {
    **RT_DETR,
    "backbone_config": {
        **{"model_type": "hgnet_v2", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
        **{"stem_channels": [3, 8, 8], "stage_in_channels": [8, 8], "stage_mid_channels": [8, 8]},
        **{"stage_out_channels": [8, 16], "stage_num_blocks": [1, 1], "stage_downsample": [False, True]},
        **{"stage_light_block": [False, False], "stage_kernel_size": [3, 3], "stage_numb_of_layers": [1, 1]},
        "out_features": ["stage2"],
    },
}
FAMILIES: dict[str, dict[str, Any]] = {
    "rt_detr_v2": RT_DETR,
    "rt_detr": RT_DETR,
    "d_fine": D_FINE,
    "detr": DETR,
    "table-transformer": DETR,
    "conditional_detr": {**DETR, "auxiliary_loss": True},
    "dab-detr": DETR,
    "deformable_detr": DEFORMABLE,
    "yolos": {
        **{"image_size": [32, 32], "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16},
        **{"num_attention_heads": 2, "num_detection_tokens": 6},
    },
}


def rows(count: int, **columns: Any) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [{**boxed_scenes(rng), "is_valid": i >= 0.7 * count, **columns} for i in range(count)]


def task_and_objects(arch: str = "rt_detr_v2", count: int = 10, **settings: Any) -> tuple[Any, Any, HFObjects]:
    torch.manual_seed(0)
    task = ObjectDetection(**{"size": 32, **settings})
    raw = task.prepare(from_data(task.row_schema(), rows(count)))
    return task, raw, from_scratch(task, raw, arch, FAMILIES[arch])


def learner(arch: str = "rt_detr_v2", count: int = 10, *, augment: Any = None, **settings: Any) -> tuple[Any, Any, Any]:
    task, raw, hf = task_and_objects(arch, count, **settings)
    dls = task.dataloaders(raw, hf, Loader(batch_size=4, cache=False), augment=augment)
    metrics = {"map": MeanAveragePrecision(), "map50": MeanAveragePrecision(0.5), "mar": MeanAverageRecall()}
    learn = task.learner(dls, hf, raw=raw, metrics=metrics)
    learn.remove_cbs([learn.progress])
    learn.logger = lambda *_: None
    return learn, raw, task


@pytest.mark.parametrize("arch", FAMILIES)
def test_every_family_trains_and_predicts_boxes(arch: str):
    learn, raw, task = learner(arch)
    before = [parameter.clone() for parameter in learn.model.parameters()]
    with learn.no_bar():
        learn.fit(1)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    found = task.evaluate(learn, raw)
    assert np.isfinite(found.metrics["loss"])
    (result,) = learn.predict(rows(1)[0]["image"], threshold=0.0)
    assert result["boxes"]
    assert all(0 <= x <= 64 for each in result["boxes"] for x in each["box"])
    assert [each["score"] for each in result["boxes"]] == sorted((e["score"] for e in result["boxes"]), reverse=True)
    # the loss of a row is the model's own, as if the row was a batch
    hf_model, batch = learn.model.hf_model.eval(), learn.dls.valid.one_batch()
    with torch.no_grad():
        own = [
            hf_model(pixel_values=batch[0]["pixel_values"][i : i + 1], labels=as_lists(batch[1][i : i + 1])).loss.item()
            for i in range(len(batch[1]))
        ]
    assert [row["loss"] for row in found.rows] == pytest.approx(own, rel=1e-3)


OTHERS = {  # of transformers, and why they are not tried above
    **dict.fromkeys(("deimv2", "lw_detr", "rf_detr"), "their smallest bodies are DINOv2-like, and slow"),
    **dict.fromkeys(("pp_doclayout_v2", "pp_doclayout_v3", "pp_doclayout_v4"), "they learn an order of reading, too"),
    **dict.fromkeys(
        ("pp_ocrv5_mobile_det", "pp_ocrv5_server_det", "pp_ocrv6_medium_det", "pp_ocrv6_small_det"),
        "they find lines of text, and have no classes",
    ),
}


def test_all_families_that_transformers_registers_are_known():
    known = set(transformers.models.auto.modeling_auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES)
    assert known <= {*FAMILIES, *OTHERS}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rt_detr_v2")
    _, _, hf = task_and_objects()
    hf.model.save_pretrained(folder)
    hf.processor.save_pretrained(folder)
    return folder


def test_a_learner_learns_predicts_shows_and_is_exported(checkpoint: Path, work: Path):
    given = [{"photo": row["image"], "objects": row["boxes"], "is_valid": row["is_valid"]} for row in rows(24)]
    given[0]["objects"] = []  # a picture without objects
    learn = BlearnerForObjectDetection.from_data(
        given, checkpoint, "photo", "objects", size=32, threshold=0.05, dl_kwargs={"bs": 4}
    )
    learn.logger = lambda *_: None
    learn.unfreeze()
    before = learn.validate()
    with learn.no_bar():
        learn.fit(6, 3e-3)
    after = learn.validate()
    assert after[0] < 0.9 * before[0]
    assert learn.recorder.metric_names[3:7] == ["map", "map50", "map75", "mar"]
    items = [row["photo"] for row in given[:3]]
    results = learn.predict(items)
    assert results[0]["class_labels"] == ["circle", "cross", "square", "star", "triangle"]
    assert [each for each in learn.predict(items, threshold=0.99) if each["boxes"]] == []
    alone = learn.predict(items[1])[0]["boxes"]
    assert [each["label"] for each in alone] == [each["label"] for each in results[1]["boxes"]]
    wide = learn.predict(items[0].resize((128, 32)), threshold=0.0)[0]["boxes"]
    assert max(each["box"][2] for each in wide) > 64 >= 2 * max(each["box"][3] for each in wide)
    shown = learn.show_results(show=False, max_n=3)
    assert [set(row) for row in shown] == [{"image", "true_objects", "predicted_objects"}] * 3
    assert {"image", "true_objects"} == set(learn.dls.show_batch(show=False)[0])
    worst = learn.top_losses(2)
    assert worst[0]["loss"] >= worst[1]["loss"]
    assert {"predicted_objects", "boxes", "target", "prediction"} <= set(worst[0])
    shares, targets, losses = learn.get_preds(with_loss=True)
    assert shares.shape[0] == len(targets) == len(losses)
    assert 0 <= shares.min() <= shares.max() <= 1
    with pytest.raises(InputError, match=r"threshold=1\.5: a score is a number from 0 to 1"):
        learn.predict(items, threshold=1.5)
    learn.export("learner.pkl")
    assert load_learner("learner.pkl").predict(items) == results


def test_scores_are_those_of_the_described_rows():
    import oracles

    learn, raw, task = learner(count=20)
    found = task.evaluate(learn, raw)
    again = oracles.recomputed("object_detection", found.rows)
    for name in ("map", "map50", "mar"):
        assert found.metrics[name] == pytest.approx(again[name], abs=1e-6)
    assert found.metrics["loss"] == pytest.approx(oracles.mean_loss(found.rows))
    assert set(found.intervals) == {"loss", "map", "map50", "mar"}
    assert found.rows[0]["target"] == sorted(each["label"] for each in found.rows[0]["boxes"])
    given = raw.valid[0]["boxes"]
    assert np.array([b["box"] for b in found.rows[0]["boxes"]]) == pytest.approx(np.array([b["box"] for b in given]))
    assert task.target.preview(raw.valid[0], found.rows[0]).startswith("data:image/")


def test_a_batch_is_padded_and_models_get_lists():
    def row(*objects: list[float]) -> dict[str, Any]:
        labels = np.array(objects, dtype=np.float32).reshape(-1, 5)
        return {"pixel_values": np.zeros((3, 2, 2), np.uint8), "labels": labels, "size": np.array([2, 2])}

    inputs, targets = BoxCollator()([row([1, 0, 0, 0.5, 1], [0, 0.25, 0.25, 0.75, 0.5]), row()])
    assert targets.shape == (2, 2, 5)
    assert torch.equal(inputs["labels"], targets)
    assert (targets[1] == IGNORED).all()
    two, none = as_lists(targets)
    assert two["class_labels"].tolist() == [1, 0]
    assert two["boxes"].tolist() == [[0.25, 0.5, 0.5, 1.0], [0.5, 0.375, 0.5, 0.25]]
    assert none["boxes"].shape == (0, 4)
    _, empty = BoxCollator()([row(), row()])
    assert empty.shape == (2, 1, 5)


def test_boxes_move_with_their_pictures():
    pixels = torch.zeros(64, 3, 64, 64)
    low = torch.randint(20, 30, (64, 2), generator=torch.Generator().manual_seed(0))
    targets = torch.zeros(64, 1, 5)
    for i, (x, y) in enumerate(low.tolist()):
        pixels[i, :, y : y + 16, x : x + 12] = 1.0
        targets[i, 0, 1:] = torch.tensor([x, y, x + 12, y + 16]) / 64
    change = standard(max_rotate=0.0, max_zoom=1.2, max_shift=0.08, flip=True, max_lighting=0.0, erase=0.0)
    moved, boxes = change(pixels, torch.arange(64), targets)
    assert not torch.equal(boxes, targets)
    for picture, box in zip(moved, boxes[:, 0, 1:] * 64, strict=True):
        down, across = torch.where(picture[0] > 0.5)
        seen = torch.tensor([across.min(), down.min(), across.max() + 1, down.max() + 1])
        inside = (box > 1) & (box < 63)  # what comes in from outside mirrors the border
        assert (seen - box)[inside].abs().max() < 1.0


def test_an_object_that_leaves_its_picture_does_not_count():
    targets = torch.tensor([[[2.0, 0.0, 0.4, 0.2, 0.6], [1.0, 0.4, 0.4, 0.6, 0.6], [IGNORED] * 5]])
    moved = moved_boxes(targets, torch.ones(1), torch.tensor([[0.19, 0.0]]), torch.ones(1))[0]
    assert moved[:, 0].tolist() == [IGNORED, 1.0, IGNORED]
    assert moved[1, 1:].tolist() == pytest.approx([0.21, 0.4, 0.41, 0.6])


def test_augmentation_that_turns_is_refused(monkeypatch):
    with pytest.raises(InputError, match=r"augment\.max_rotate=5 turns pictures.*Set augment\.max_rotate=0"):
        learner(augment=light())
    with pytest.raises(InputError, match="augment=trivial turns and shears pictures"):
        learner(augment=trivial())
    learn, *_ = learner(augment=light(max_rotate=0.0))
    batch = learn.dls.train.one_batch()
    assert torch.equal(batch[0]["labels"], batch[1])
    with learn.no_bar():
        learn.fit(1)


def test_classes_that_no_training_row_has_are_refused():
    given = rows(10)
    given[9]["boxes"] = [{"label": "bird", "box": [1, 1, 9, 9]}]
    task = ObjectDetection(size=32)
    with pytest.raises(InputError, match=r"\(valid\) has objects of the classes \['bird'\]"):
        task.prepare(from_data(task.row_schema(), given))
    for row in given:
        row["boxes"] = []
    with pytest.raises(InputError, match="has no object at all"):
        task.prepare(from_data(task.row_schema(), given))
    _, _, hf = task_and_objects()
    given[0]["boxes"] = [{"label": "bird", "box": [1, 1, 9, 9]}]
    with pytest.raises(InputError, match="the class 'bird', which the model does not know"):
        from_data(task.row_schema(hf), given)


def test_other_metrics_say_what_they_need():
    from blurr.metrics.classification import Accuracy
    from blurr.metrics.streamed import streamed

    task, _, hf = task_and_objects()
    with pytest.raises(InputError, match=r"predicts boxes\. Choose metrics=\[map,map50,map75,mar\]"):
        streamed({"accuracy": Accuracy()}, task.target.scored(hf))
    with pytest.raises(InputError, match=r"overlap=0\.51: it is one of 0\.50, 0\.55"):
        MeanAveragePrecision(0.51)


def test_boxes_are_drawn_on_pictures_large_enough_to_read():
    row = rows(1)[0]
    drawn = outlined(row["image"], [{**each, "score": 0.5} for each in row["boxes"]])
    assert drawn.size == (192, 192)
    assert np.asarray(drawn).std() != np.asarray(row["image"].resize((192, 192), 0)).std()
