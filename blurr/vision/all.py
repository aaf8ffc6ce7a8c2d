"""All of blurr's names for pictures, for notebooks: `from blurr.vision.all import *`."""

import blurr.process.quiet_imports  # noqa: F401  # first, for it loads fastai
from blurr.metrics.boxes import MeanAveragePrecision, MeanAverageRecall
from blurr.metrics.classification import F1, Accuracy, Matthews, Precision, Recall, TopK
from blurr.metrics.masks import Dice, MeanIoU, PixelAccuracy
from blurr.metrics.regression import RMSE, Pearson, Spearman
from blurr.models.adapters import dora, ia3, lora, pissa, rslora, vera
from blurr.models.groups import blurr_splitter
from blurr.models.losses import PreCalculatedBCELoss, PreCalculatedCrossEntropyLoss, PreCalculatedMSELoss
from blurr.models.wrapper import BaseModelWrapper
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
from blurr.vision.object_detection import BlearnerForObjectDetection, ObjectDetection
from blurr.vision.objects import get_vision_objects
from blurr.vision.outlined import outlined
from blurr.vision.overlays import mask_of
from blurr.vision.segments import PixelLoss
from blurr.vision.semantic_segmentation import BlearnerForSemanticSegmentation, SemanticSegmentation

__all__ = [
    "F1",
    "RMSE",
    "Accuracy",
    "BaseModelCallback",
    "BaseModelWrapper",
    "Blearner",
    "BlearnerForImageClassification",
    "BlearnerForObjectDetection",
    "BlearnerForSemanticSegmentation",
    "ClassificationInterpretation",
    "Dice",
    "ImageClassification",
    "Interpretation",
    "Matthews",
    "MeanAveragePrecision",
    "MeanAverageRecall",
    "MeanIoU",
    "Normalize",
    "ObjectDetection",
    "Pearson",
    "PixelAccuracy",
    "PixelBlock",
    "PixelCollator",
    "PixelLoss",
    "PixelRows",
    "PreCalculatedBCELoss",
    "PreCalculatedCrossEntropyLoss",
    "PreCalculatedMSELoss",
    "Precision",
    "ProcessorResize",
    "Recall",
    "SemanticSegmentation",
    "Spearman",
    "ToInputs",
    "TopK",
    "adamw",
    "as_opt_func",
    "blurr_predict",
    "blurr_splitter",
    "dora",
    "get_vision_objects",
    "ia3",
    "light",
    "load_learner",
    "lora",
    "mask_of",
    "open_picture",
    "outlined",
    "pissa",
    "rslora",
    "standard",
    "trivial",
    "vera",
]
