"""All of blurr's names for models and training, for notebooks: `from blurr.text.modeling.all import *`."""

from blurr.text.metrics import F1, RMSE, Accuracy, Matthews, Pearson, Precision, Recall, Spearman
from blurr.text.metrics_generation import BertScore, Meteor
from blurr.text.metrics_language_modeling import Perplexity, TokenAccuracy
from blurr.text.metrics_question_answering import AnswerF1, ExactMatch
from blurr.text.metrics_summarization import Rouge
from blurr.text.metrics_token_classification import Seqeval
from blurr.text.metrics_translation import Bleu, ChrF
from blurr.text.modeling.core import BaseModelCallback, Blearner, blurr_predict
from blurr.text.modeling.filling import blurr_fill_mask
from blurr.text.modeling.interpretation import Interpretation
from blurr.text.modeling.losses import (
    PreCalculatedBCELoss,
    PreCalculatedCrossEntropyLoss,
    PreCalculatedMSELoss,
)
from blurr.text.modeling.spans import SpanRules
from blurr.text.modeling.tokens import blurr_predict_tokens
from blurr.text.modeling.wrapper import BaseModelWrapper, blurr_splitter
from blurr.text.modeling.writing import BlearnerForGeneration, blurr_generate
from blurr.text.tasks.language_modeling import BlearnerForLM, BlearnerForMaskedLM, CausalLM, MaskedLM
from blurr.text.tasks.question_answering import (
    BlearnerForQuestionAnswering,
    QuestionAnswering,
    blurr_predict_answers,
)
from blurr.text.tasks.sequence_classification import BlearnerForSequenceClassification, SequenceClassification
from blurr.text.tasks.summarization import BlearnerForSummarization, Summarization
from blurr.text.tasks.token_classification import BlearnerForTokenClassification, TokenClassification
from blurr.text.tasks.translation import BlearnerForTranslation, Translation
from blurr.training.optimizers import adamw, as_opt_func

__all__ = [
    "F1",
    "RMSE",
    "Accuracy",
    "AnswerF1",
    "BaseModelCallback",
    "BaseModelWrapper",
    "BertScore",
    "Blearner",
    "BlearnerForGeneration",
    "BlearnerForLM",
    "BlearnerForMaskedLM",
    "BlearnerForQuestionAnswering",
    "BlearnerForSequenceClassification",
    "BlearnerForSummarization",
    "BlearnerForTokenClassification",
    "BlearnerForTranslation",
    "Bleu",
    "CausalLM",
    "ChrF",
    "ExactMatch",
    "Interpretation",
    "MaskedLM",
    "Matthews",
    "Meteor",
    "Pearson",
    "Perplexity",
    "PreCalculatedBCELoss",
    "PreCalculatedCrossEntropyLoss",
    "PreCalculatedMSELoss",
    "Precision",
    "QuestionAnswering",
    "Recall",
    "Rouge",
    "Seqeval",
    "SequenceClassification",
    "SpanRules",
    "Spearman",
    "Summarization",
    "TokenAccuracy",
    "TokenClassification",
    "Translation",
    "adamw",
    "as_opt_func",
    "blurr_fill_mask",
    "blurr_generate",
    "blurr_predict",
    "blurr_predict_answers",
    "blurr_predict_tokens",
    "blurr_splitter",
]
