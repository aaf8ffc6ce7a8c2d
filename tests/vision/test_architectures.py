"""Architectures with other heads, losses, batch norms and processors learn, predict and are read again all alike."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from pictures import RESNET, SIDE, VIT, make_vision_checkpoint, picture_rows
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import AutoConfig

from blurr.errors import InputError
from blurr.models.heads import in_stored_order
from blurr.serve.predictor import Predictor
from blurr.tasks.saved import SavedTask, save_model
from blurr.training.callbacks.cache_frozen_features import CacheFrozenFeatures, inputs_vary
from blurr.training.schedules import gradual_unfreezing
from blurr.vision.all import Blearner, BlearnerForImageClassification
from blurr.vision.augment import light
from blurr.vision.inputs import moments
from blurr.vision.readable import check_readable

PERCEIVER = {
    **{"num_latents": 4, "d_latents": 8, "num_blocks": 1, "num_self_attends_per_block": 1, "image_size": SIDE},
    **{"num_self_attention_heads": 1, "num_cross_attention_heads": 1},
}
PPLCNET = {"scale": 0.25, "class_expand": 8}
TEXTNET = {
    **{"stem_out_channels": 8, "hidden_sizes": [8] * 5, "depths": [1] * 4, "conv_layer_strides": [[1]] * 4},
    "conv_layer_kernel_sizes": [[[3, 3]], [[3, 1]], [[1, 3]], [[3, 3]]],
}
KINDS: dict[str, tuple[str, dict[str, Any], str]] = {  # class, sizes and image processor
    "body with batch norms": ("ResNetForImageClassification", RESNET, "ConvNextImageProcessor"),
    "head with batch norms": (
        "LevitForImageClassificationWithTeacher",
        {
            **{"image_size": SIDE, "hidden_sizes": [16] * 3, "num_attention_heads": [1] * 3, "depths": [1] * 3},
            **{"key_dim": [8] * 3, "patch_size": 16, "down_ops": [["Subsample", 8, 2, 2, 2, 2]] * 2},
        },
        "LevitImageProcessor",
    ),
    "two heads and no loss": ("DeiTForImageClassificationWithTeacher", VIT, "DeiTImageProcessor"),
    "no body and no logits": (
        "PPLCNetForImageClassification",
        PPLCNET,
        "PPLCNetImageProcessor",
    ),
    "cropped first": ("PerceiverForImageClassificationLearned", PERCEIVER, "PerceiverImageProcessor"),
    "only a shortest edge": ("TextNetForImageClassification", TEXTNET, "TextNetImageProcessor"),
}


def learner_of(folder: Path, *, size: int | None = None, bs: int = 8, count: int = 24, **options: Any) -> Blearner:
    rows = [{**row, "is_valid": i % 4 == 0} for i, row in enumerate(picture_rows(count))]
    learn = BlearnerForImageClassification.from_data(rows, folder, size=size, dl_kwargs={"bs": bs}, **options)
    learn.logger = lambda *_: None
    learn.remove_cbs([learn.progress])
    return learn


def changed_by(learn: Blearner, train: Any) -> set[str]:
    """Return the names of the weights and buffers that a training changes."""
    before = {name: value.clone() for name, value in learn.model.hf_model.state_dict().items()}
    train()
    return {name for name, value in learn.model.hf_model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_predicts_and_is_read_again(kind: str, tmp_path: Path):
    name, sizes, processor = KINDS[kind]
    torch.manual_seed(0)
    model_cls = getattr(transformers, name)
    model_cls(model_cls.config_class(**sizes)).save_pretrained(tmp_path / "checkpoint")
    getattr(transformers, processor)().save_pretrained(tmp_path / "checkpoint")
    learn = learner_of(tmp_path / "checkpoint", size=32 if "edge" in kind else SIDE, bs=17)
    assert type(learn.model.hf_model) is model_cls
    head = {name.rpartition(".")[0] for name, p in learn.model.hf_model.named_parameters() if p.requires_grad}
    first = changed_by(learn, lambda: learn.fit(steps=1, lr=1e-2))
    assert {name.rpartition(".")[0] for name in first} == head
    learn.unfreeze()
    assert changed_by(learn, lambda: learn.fit(1, 1e-3)) > first
    assert all(torch.isfinite(torch.stack(learn.recorder.losses)))
    items = [row["image"] for row in picture_rows(3, seed=1)]
    results = learn.predict(items)
    origin = learn.origin
    (tmp_path / "saved").mkdir()
    save_model(tmp_path / "saved", SavedTask(origin.task.resolved(learn)), origin.hf)
    again = Predictor.load(tmp_path / "saved", device="cpu").predict(items)
    for one, row, alone in zip(results, again, [learn.predict(item)[0] for item in items], strict=True):
        assert row["probs"] == pytest.approx(one["probs"], abs=1e-5)
        assert alone["probs"] == pytest.approx(one["probs"], abs=1e-5)


@pytest.mark.parametrize(
    ("arch", "reason"),
    [
        ("imagegpt", "not as pixels"),
        ("siglip2", "are of the architecture siglip"),
        ("shieldgemma2", "yes or no"),
    ],
)
def test_what_cannot_learn_classes_from_pixels_is_refused(arch: str, reason: str):
    with pytest.raises(InputError, match=f"{arch} cannot classify pictures here: .*{reason}.*Choose a model"):
        check_readable(AutoConfig.for_model(arch))


def test_the_statistics_of_a_body_are_frozen_with_its_weights(tmp_path: Path):
    learn = learner_of(make_vision_checkpoint(tmp_path))
    assert changed_by(learn, lambda: learn.fit(1)) == {"classifier.1.weight", "classifier.1.bias"}
    assert changed_by(learn, lambda: gradual_unfreezing(learn, 1e-2)) > {
        "resnet.embedder.embedder.normalization.running_mean"
    }
    trains_them = learner_of(tmp_path, learner_kwargs={"train_bn": True})
    norms = [name for name, module in trains_them.model.hf_model.named_modules() if isinstance(module, _BatchNorm)]
    assert {f"{name}.running_var" for name in norms} < changed_by(trains_them, lambda: trains_them.fit(1))


def test_a_batch_of_one_row_is_joined_with_another_where_a_model_normalizes_by_rows(tmp_path: Path):
    sizes = {}
    for arch in ("resnet", "vit"):
        learn = learner_of(make_vision_checkpoint(tmp_path / arch, arch), bs=17)
        sizes[arch] = sorted(len(targets) for _, targets in learn.dls.train)
        assert [len(targets) for _, targets in learn.dls.valid] == [6]
    assert sizes == {"resnet": [18], "vit": [1, 17]}


@pytest.mark.parametrize("arch", ["resnet", "vit", "timm"])
@pytest.mark.slow
def test_a_cached_body_gives_the_losses_of_one_that_is_run_each_time(arch: str, tmp_path: Path):
    if arch == "timm":
        pytest.importorskip("timm")
        config = AutoConfig.for_model("timm_wrapper", architecture="resnet10t", num_labels=2, initializer_range=0.02)
        transformers.AutoModelForImageClassification.from_config(config).save_pretrained(tmp_path)
    else:
        make_vision_checkpoint(tmp_path, arch)
    losses = []
    for cbs in ([], [CacheFrozenFeatures()]):
        learn = learner_of(tmp_path, size=32, learner_kwargs={"cbs": cbs})
        if arch == "timm" and cbs:
            with pytest.raises(InputError, match="has no separate body"):
                learn.fit(1)
            return
        torch.manual_seed(0)
        learn.fit(2, 1e-2)
        losses.append(torch.stack(learn.recorder.losses))
    torch.testing.assert_close(*losses, atol=1e-6, rtol=0)


def test_a_checkpoint_of_timm_keeps_the_names_of_new_labels(tmp_path: Path):
    AutoConfig.for_model("timm_wrapper", architecture="resnet10t", label_names=["a", "b", "c"]).save_pretrained(
        tmp_path
    )
    values = in_stored_order({"id2label": {0: "x", 1: "y"}}, AutoConfig.from_pretrained(tmp_path))
    AutoConfig.from_pretrained(tmp_path, **values).save_pretrained(tmp_path / "trained")
    assert AutoConfig.from_pretrained(tmp_path / "trained").id2label == {0: "x", 1: "y"}


def test_pictures_that_are_changed_at_random_are_not_cached(tmp_path: Path):
    make_vision_checkpoint(tmp_path)
    assert not inputs_vary(learner_of(tmp_path).dls.train)
    assert inputs_vary(learner_of(tmp_path, augment=light()).dls.train)


def test_a_processor_that_crops_more_than_there_is_normalizes_all_the_same():
    processor = transformers.MobileViTImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 32, "width": 32}, do_center_crop=True
    )
    mean, std = moments(processor)
    assert (mean.tolist(), std.tolist()) == ([0.0] * 3, [1.0] * 3)
