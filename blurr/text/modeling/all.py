"""All of blurr's names for models and training, for notebooks: `from blurr.text.modeling.all import *`."""

from blurr.metrics.bleu import Bleu, ChrF
from blurr.metrics.classification import F1, Accuracy, Matthews, Precision, Recall
from blurr.metrics.exact import ExactText
from blurr.metrics.meaning import BertScore, Meteor
from blurr.metrics.regression import RMSE, Pearson, Spearman
from blurr.metrics.rouge import Rouge
from blurr.models.adapters import dora, ia3, lora, pissa, rslora, vera
from blurr.models.groups import blurr_splitter
from blurr.models.losses import PreCalculatedBCELoss, PreCalculatedCrossEntropyLoss, PreCalculatedMSELoss
from blurr.models.wrapper import BaseModelWrapper
from blurr.targets.classes import blurr_predict
from blurr.targets.texts import BlearnerForGeneration, blurr_generate
from blurr.tasks.notebook import load_learner
from blurr.text.chat.task import BlearnerForChat, Chat
from blurr.text.language_modeling.causal_lm import BlearnerForLM, CausalLM
from blurr.text.language_modeling.filling import blurr_fill_mask
from blurr.text.language_modeling.masked_lm import BlearnerForMaskedLM, MaskedLM
from blurr.text.language_modeling.metrics import Perplexity, TokenAccuracy
from blurr.text.question_answering.metrics import AnswerF1, ExactMatch
from blurr.text.question_answering.spans import SpanRules
from blurr.text.question_answering.target import blurr_predict_answers
from blurr.text.question_answering.task import BlearnerForQuestionAnswering, QuestionAnswering
from blurr.text.seq2seq.summarization import BlearnerForSummarization, Summarization
from blurr.text.seq2seq.translation import BlearnerForTranslation, Translation
from blurr.text.sequence_classification.task import BlearnerForSequenceClassification, SequenceClassification
from blurr.text.token_classification.learner import blurr_predict_tokens
from blurr.text.token_classification.metrics import Seqeval
from blurr.text.token_classification.task import BlearnerForTokenClassification, TokenClassification
from blurr.training.interpretation import ClassificationInterpretation, Interpretation
from blurr.training.learner import BaseModelCallback, Blearner
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
    "BlearnerForChat",
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
    "Chat",
    "ChrF",
    "ClassificationInterpretation",
    "ExactMatch",
    "ExactText",
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
    "dora",
    "ia3",
    "load_learner",
    "lora",
    "pissa",
    "rslora",
    "vera",
]
