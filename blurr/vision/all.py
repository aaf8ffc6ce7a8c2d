"""All of blurr's names for pictures, for notebooks: `from blurr.vision.all import *`."""

from blurr.metrics.classification import F1, Accuracy, Matthews, Precision, Recall, TopK
from blurr.metrics.regression import RMSE, Pearson, Spearman
from blurr.models.losses import PreCalculatedBCELoss, PreCalculatedCrossEntropyLoss, PreCalculatedMSELoss
from blurr.models.wrapper import BaseModelWrapper, blurr_splitter
from blurr.targets.classes import blurr_predict
from blurr.tasks.notebook import load_learner
from blurr.training.interpretation import ClassificationInterpretation, Interpretation
from blurr.training.learner import BaseModelCallback, Blearner
from blurr.training.optimizers import adamw, as_opt_func
from blurr.vision.augment import light, standard, trivial
from blurr.vision.blocks import PixelBlock, ProcessorResize, ToInputs
from blurr.vision.image_classification import BlearnerForImageClassification, ImageClassification
from blurr.vision.images import open_picture
from blurr.vision.inputs import Normalize, PixelCollator, PixelRows
from blurr.vision.objects import get_vision_objects

__all__ = [
    "F1",
    "RMSE",
    "Accuracy",
    "BaseModelCallback",
    "BaseModelWrapper",
    "Blearner",
    "BlearnerForImageClassification",
    "ClassificationInterpretation",
    "ImageClassification",
    "Interpretation",
    "Matthews",
    "Normalize",
    "Pearson",
    "PixelBlock",
    "PixelCollator",
    "PixelRows",
    "PreCalculatedBCELoss",
    "PreCalculatedCrossEntropyLoss",
    "PreCalculatedMSELoss",
    "Precision",
    "ProcessorResize",
    "Recall",
    "Spearman",
    "ToInputs",
    "TopK",
    "adamw",
    "as_opt_func",
    "blurr_predict",
    "blurr_splitter",
    "get_vision_objects",
    "light",
    "load_learner",
    "open_picture",
    "standard",
    "trivial",
]
