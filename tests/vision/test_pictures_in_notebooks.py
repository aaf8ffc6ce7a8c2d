"""A notebook shows the pictures of its rows: in batches, results, top losses, and as a confusion matrix."""

import random
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessor

from blurr.loading.dataloader import html_of
from blurr.training.interpretation import ClassificationInterpretation, Interpretation
from blurr.training.learner import Blearner
from blurr.vision.image_classification import BlearnerForImageClassification
from blurr.vision.samples import shapes

PICTURE = '<img alt="" style="width:'


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Blearner:
    folder: Path = tmp_path_factory.mktemp("resnet")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    ResNetForImageClassification(ResNetConfig(**sizes)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    rng = random.Random(0)
    return BlearnerForImageClassification.from_data([shapes(rng) for _ in range(40)], folder)


def test_the_rows_with_the_highest_losses_show_their_pictures(learner: Blearner, capsys: pytest.CaptureFixture[str]):
    found = Interpretation.from_learner(learner)
    rows = found.top_losses(3)
    assert rows[0]["image"].value.size == (16, 16)
    page = html_of(rows)
    assert page.count(PICTURE) == 3
    assert page.count("data:image/png;base64,") == 3
    assert rows == sorted(rows, key=lambda row: -row["loss"])
    found.plot_top_losses(3)
    assert "16 x 16 pixels" in capsys.readouterr().out
    wrong = [row for row in found.rows if row["target"] != row["prediction"]]
    assert sum(count for _, _, count in found.most_confused()) == len(wrong)


def test_batches_and_results_show_their_pictures(learner: Blearner, capsys: pytest.CaptureFixture[str]):
    dl = learner.dls.valid
    inputs, targets = dl.one_batch()
    assert html_of(dl.show_rows(dl, inputs, targets)).count(PICTURE) == len(targets)
    learner.show_results(max_n=2)
    said = capsys.readouterr().out
    assert said.count("16 x 16 pixels") == 2
    assert "prediction" in said


def test_the_confusion_matrix_of_pictures_is_drawn(learner: Blearner):
    found = ClassificationInterpretation.from_learner(learner)
    mpl.use("Agg")
    found.plot_confusion_matrix()
    assert found.confusion_matrix().sum() == len(learner.dls.valid_ds)
