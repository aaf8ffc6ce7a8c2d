"""Pictures are classified: what a model reads is what its processor makes, and a learner does all that others do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader, ColSplitter
from fastai.vision.augment import aug_transforms
from pictures import SIDE, make_vision_checkpoint, photo, picture_rows
from PIL import Image
from scratch import check_groups
from sklearn.metrics import top_k_accuracy_score
from transformers.utils import import_utils

from blurr.config import composing, paths
from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.metrics.classification import TopK
from blurr.tasks.notebook import load_learner
from blurr.tasks.parts import build_hf
from blurr.training.default_rates import default_rate
from blurr.training.schedules import one_cycle
from blurr.vision.all import (
    Blearner,
    BlearnerForImageClassification,
    ImageClassification,
    PixelBlock,
    get_vision_objects,
)
from blurr.vision.inputs import PIXELS, Normalize, PixelCollator, moments, pictures_of
from blurr.vision.pixels import Pixels, Sizing
from blurr.vision.sizes import fit_size

PROCESSORS = {
    "vit": transformers.ViTImageProcessor(size={"height": 24, "width": 20}),
    "convnext": transformers.ConvNextImageProcessor(size={"shortest_edge": 24}, crop_pct=0.8),
    "bit": transformers.BitImageProcessor(size={"shortest_edge": 30}, crop_size={"height": 24, "width": 24}),
    "mobilenet": transformers.MobileNetV2ImageProcessor(
        size={"shortest_edge": 30}, crop_size={"height": 24, "width": 24}
    ),
    "efficientnet": transformers.EfficientNetImageProcessor(
        size={"height": 30, "width": 30}, crop_size={"height": 24, "width": 24}, do_center_crop=True
    ),
    "unscaled": transformers.ViTImageProcessor(size={"height": 24, "width": 24}, do_normalize=False),
}


OF_OTHER_TASKS = ("segformer", "rt_detr_v2", "d_fine", "detr")  # with heads for pixels and for boxes


def is_of_vision(family: str) -> bool:
    text = paths.options("model")[family].read_text(encoding="utf-8")
    return "image_size" in text and family not in OF_OTHER_TASKS


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vision_checkpoint(tmp_path_factory.mktemp("resnet"))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vision_checkpoint(tmp_path_factory.mktemp("vit"), "vit")


@pytest.fixture
def learner(resnet: Path) -> BlearnerForImageClassification:
    rows = pd.DataFrame(picture_rows(40)).assign(is_valid=[i >= 30 for i in range(40)])
    learn = BlearnerForImageClassification.from_data(rows, resnet, dl_kwargs={"bs": 8})
    learn.logger = lambda *_: None
    return learn


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_model_reads_what_the_processor_of_its_checkpoint_makes(name: str):
    processor = PROCESSORS[name]
    pictures = [photo(60, 40), photo(31, 47, seed=1)]
    expected = processor(images=pictures, return_tensors="pt")["pixel_values"]
    batch = PixelCollator()([{"pixel_values": Sizing(processor)(each)} for each in pictures])
    inputs, _ = Normalize(processor).encodes(batch)
    torch.testing.assert_close(inputs["pixel_values"], expected, atol=1e-5, rtol=1e-5)
    again = pictures_of(processor, inputs["pixel_values"])
    assert np.array_equal(np.asarray(again[0]).transpose(2, 0, 1), batch[0]["pixel_values"][0])


@pytest.mark.parametrize("name", PROCESSORS)
def test_another_size_keeps_the_share_that_is_cropped(name: str):
    processor = type(PROCESSORS[name])(**PROCESSORS[name].to_dict())
    fit_size(processor, 48)
    assert Sizing(processor).shape == (3, 48, 48)
    sides = processor.size.get("shortest_edge") or processor.size["height"]
    assert sides == {"bit": 60, "mobilenet": 60, "efficientnet": 60}.get(name, 48)


def test_a_processor_without_one_size_is_refused_unless_a_size_is_set():
    processor = transformers.BitImageProcessor(size={"shortest_edge": 24}, do_center_crop=False)
    with pytest.raises(InputError, match=r"24 x 36 pixels of one picture and 36 x 24 of another.*task.size=224"):
        fit_size(processor, None)
    fit_size(processor, 24)
    assert Sizing(processor).shape == (3, 24, 24)


@pytest.mark.filterwarnings("ignore:load_learner:UserWarning")
def test_a_learner_learns_predicts_and_shows(learner, work: Path):
    before = learner.validate(0)[0]
    learner.unfreeze()
    with learner.no_bar():
        learner.fit(8, 3e-3)
    assert learner.validate(0)[0] < before
    items = [row["image"] for row in picture_rows(6, seed=1)]
    results = learner.predict(items)
    assert [result["class_labels"] for result in results] == [["circle", "square"]] * 6
    alone = learner.predict(items[3])[0]
    assert alone["probs"] == pytest.approx(results[3]["probs"], abs=1e-5)
    assert learner.predict(np.asarray(items[3]))[0] == alone
    items[3].save("one.png")
    assert learner.predict("one.png")[0] == alone
    shown = learner.show_results(show=False, max_n=3)
    assert [set(row) for row in shown] == [{"image", "target", "prediction"}] * 3
    assert shown[0]["image"].value.size == (SIDE, SIDE)
    assert len(learner.top_losses(2)) == 2
    learner.export("learner.pkl")
    assert load_learner("learner.pkl").predict(items) == results


def test_predictions_are_those_of_transformers_pipeline(learner, work: Path):
    learner.model.hf_model.save_pretrained("model")
    learner.dls.tokenizer.save_pretrained("model")
    pipe = transformers.pipeline("image-classification", model="model", device="cpu")
    items = [row["image"] for row in picture_rows(4, seed=2)]
    for theirs, ours in zip(pipe(items), learner.predict(items), strict=True):
        found = {each["label"]: each["score"] for each in theirs}
        assert [found[label] for label in ours["class_labels"]] == pytest.approx(ours["probs"], abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "kind", "field"),
    [([["a", "b"], ["b"]] * 20, "multi_label_classification", "labels"), ([0.25, 1.5] * 20, "regression", "value")],
)
def test_several_labels_and_numbers_are_learned_too(labels, kind: str, field: str, resnet: Path):
    rows = [{**row, "label": label} for row, label in zip(picture_rows(40), labels, strict=True)]
    learn = BlearnerForImageClassification.from_data(rows, resnet, dl_kwargs={"bs": 8})
    assert learn.model.hf_model.config.problem_type == kind
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert field in learn.predict(rows[0]["image"])[0]


def test_a_transformer_reads_pictures_of_another_size_than_it_learned_positions_for(vit: Path, resnet: Path):
    for checkpoint in (vit, resnet):
        learn = BlearnerForImageClassification.from_data(picture_rows(20), checkpoint, size=24)
        assert learn.dls.one_batch()[0]["pixel_values"].shape[2:] == (24, 24)
        assert len(learn.predict(picture_rows(2)[0]["image"])) == 1


def test_a_size_that_a_model_cannot_read_is_refused(vit: Path):
    with pytest.raises(
        InputError, match=r"ViTForImageClassification cannot read pictures of 4 x 4 pixels: .*\. Set size to what"
    ):
        BlearnerForImageClassification.from_data(picture_rows(20), vit, size=4)


def test_a_checkpoint_without_a_processor_is_read_as_its_config_says(vit: Path, work: Path, caplog):
    transformers.AutoModelForImageClassification.from_pretrained(vit).save_pretrained("bare")
    processor = PIXELS.load("bare", image_mean=[0.1, 0.2, 0.3])
    assert (processor.size["height"], tuple(processor.image_mean)) == (SIDE, (0.1, 0.2, 0.3))
    assert "bare has no image processor (preprocessor_config.json). Pictures are resized to 16 x 16" in caplog.text


def test_timms_models_load_with_a_head_of_other_labels(work: Path):
    config = transformers.AutoConfig.for_model("timm_wrapper", architecture="resnet10t", num_labels=3)
    transformers.AutoModelForImageClassification.from_config(config).save_pretrained("timm")
    learn = BlearnerForImageClassification.from_data(picture_rows(20), "timm", size=32)
    assert learn.model.hf_model.config.num_labels == 2
    last = {id(parameter) for parameter in learn.model.hf_model.timm_model.get_classifier().parameters()}
    assert {id(p) for p in learn.model.parameters() if p.requires_grad} >= last


def test_the_default_rate_of_convolutions_is_higher():
    of = {arch: transformers.AutoConfig.for_model(arch) for arch in ("resnet", "convnext", "vit", "swin", "bert")}
    rates = {arch: default_rate(one_cycle, weights="scratch", config=config).rate for arch, config in of.items()}
    assert rates == {"resnet": 3e-3, "convnext": 3e-3, "vit": 1e-3, "swin": 1e-3, "bert": 1e-3}
    assert default_rate(one_cycle, weights="pretrained", config=of["resnet"]).rate == 1e-3
    assert default_rate(one_cycle, weights="pretrained", config=of["vit"]).rate == 5e-5


def test_decoded_pictures_are_kept_and_a_changed_byte_is_made_anew(work: Path, resnet: Path, monkeypatch):
    monkeypatch.setenv("BLURR_CACHE", str(work / "cache"))
    task = ImageClassification()
    raw = from_data(task.row_schema(), picture_rows(20))
    processor = PROCESSORS["vit"]
    pixels = Pixels(raw.train.select_columns(["image"])["image"], Sizing(processor))
    kept = pixels.keeping()
    first = [kept[i].copy() for i in range(len(kept))]
    assert (kept.kept.missing, kept.seconds_to_make) == (0, 0.0)
    again = pixels.keeping()
    assert again.kept.missing == 0
    again.kept.values[3] ^= 1
    assert all(np.array_equal(again[i], first[i]) for i in range(len(first)))
    assert [np.array_equal(a, first[i]) for a, i in zip(again.take([4, 2]), [4, 2], strict=True)] == [True, True]
    (folder,) = {path.parent for path in (work / "cache").glob("*/*/values.npy")}
    (folder / "values.npy").write_bytes(b"cut")
    assert pixels.keeping().kept.missing == len(first)


def test_what_does_not_fit_the_cache_is_decoded_anew(resnet: Path, caplog):
    task = ImageClassification()
    raw = task.prepare(from_data(task.row_schema(), picture_rows(20)))
    hf = get_vision_objects(resnet, config_kwargs=task.target.model_config(raw))
    dls = task.dataloaders(raw, hf, Loader(cache_gb=0))
    assert "loader.cache_gb=0 allows less" in caplog.text
    assert dls.train_ds.columns["pixel_values"].kept is None
    assert len(list(dls.train)) == len(dls.train)


def test_top_k_is_scikit_learns():
    rng = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(60, 8, generator=rng), torch.randint(8, (60,), generator=rng)
    metric = TopK(3)
    for part in (slice(0, 25), slice(25, 60)):
        metric.update(logits[part], targets[part])
    assert float(metric.compute()) == pytest.approx(top_k_accuracy_score(targets, logits, k=3, labels=range(8)))
    with pytest.raises(InputError, match="top3 is the share of rows whose one class is among the likeliest 3"):
        TopK(3).update(logits, torch.ones(60, 8))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of fastai's pictures
def test_pictures_go_through_a_data_block_with_fastais_own_transforms(resnet: Path):
    hf = get_vision_objects(resnet, config_kwargs={"num_labels": 2})
    rows = pd.DataFrame(picture_rows(24)).assign(is_valid=[i >= 16 for i in range(24)])
    rows["image"] = [np.asarray(each) for each in rows["image"]]
    block = DataBlock(
        blocks=(PixelBlock(*hf), CategoryBlock),
        get_x=ColReader("image"),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
        batch_tfms=aug_transforms(size=None, max_warp=0),
    )
    dls = block.dataloaders(rows, bs=8)
    inputs, targets = dls.valid.one_batch()
    expected = hf.processor(images=[Image.fromarray(each) for each in rows["image"][16:]], return_tensors="pt")
    torch.testing.assert_close(inputs["pixel_values"], expected["pixel_values"], atol=1e-5, rtol=1e-5)
    assert torch.equal(inputs["labels"], targets.as_subclass(torch.Tensor))
    learn = Blearner(dls, hf.model)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    dls.show_batch(max_n=2)
    mean, std = moments(hf.processor)
    assert (float(mean[0]), float(std[0])) == pytest.approx((0.4, 0.5))


FAMILIES = [
    pytest.param(name, marks=[] if name in ("resnet", "vit") else pytest.mark.slow)
    for name in paths.options("model")
    if is_of_vision(name)
]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_built_from_its_yaml_and_cut_into_groups(family: str):
    task = ImageClassification()
    raw = task.prepare(from_data(task.row_schema(), picture_rows(8)))
    cfg = composing.compose(["task=image_classification", f"model={family}", "model.weights=scratch"])
    hf = build_hf(cfg, task, raw)
    check_groups(hf)
    height, width = Sizing(hf.processor).shape[1:]
    assert hf.model.eval()(pixel_values=torch.zeros(1, 3, height, width)).logits.shape == (1, 2)


def test_a_missing_package_is_named(work: Path, monkeypatch):
    config = transformers.AutoConfig.for_model("timm_wrapper", architecture="resnet10t", num_labels=2)
    transformers.AutoModelForImageClassification.from_config(config).save_pretrained("timm")
    message = import_utils.BACKENDS_MAPPING["timm"][1]
    monkeypatch.setitem(import_utils.BACKENDS_MAPPING, "timm", (lambda: False, message))
    with pytest.raises(InputError, match=r"The model 'timm' needs the package timm: pip install '.*\[vision\]'"):
        BlearnerForImageClassification.from_data(picture_rows(20), "timm", size=32)
