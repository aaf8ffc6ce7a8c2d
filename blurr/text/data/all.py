"""All of blurr's names for text data, for notebooks: `from blurr.text.data.all import *`."""

from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock
from fastai.data.transforms import ColReader, ColSplitter, IndexSplitter, ItemGetter, RandomSplitter

from blurr.data.at_hand import from_data
from blurr.data.core import RawData, Schema
from blurr.loading.dataloader import RowsDL as TextDL
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects
from blurr.tasks.notebook import load_learner
from blurr.text.blocks import (
    BatchTokenizeTransform,
    LMBatchTokenizeTransform,
    QABatchTokenizeTransform,
    Seq2SeqBatchTokenizeTransform,
    Seq2SeqTextBlock,
    TaskTokenizeTransform,
    TextBlock,
    TokenCategoryBlock,
    TokenClassBatchTokenizeTransform,
    first_blurr_tfm,
)
from blurr.text.inputs import TextCollator as PaddingCollator
from blurr.text.inputs import TextRows as TokenizedRows
from blurr.text.inputs import collator_for, tokenize_texts
from blurr.text.language_modeling.masking import Masking, MaskingCollator
from blurr.text.language_modeling.rows import CausalCollator
from blurr.text.objects import NLP, get_hf_objects
from blurr.text.older import (
    BertMLMStrategy,
    BILabelingStrategy,
    CausalLMStrategy,
    LMType,
    OnlyFirstTokenLabelingStrategy,
    SameLabelLabelingStrategy,
)
from blurr.text.question_answering.rows import QuestionCollator, QuestionRows, read_answers, tokenize_questions
from blurr.text.seq2seq.rows import tokenize_pairs
from blurr.text.token_classification.words import align_labels, read_words, tokenize_words

# fastai has a TextBlock of its own: whoever imports fastai.text.all later still has this name for ours
BlurrTextBlock = TextBlock

__all__ = [
    "NLP",
    "BILabelingStrategy",
    "BatchTokenizeTransform",
    "BertMLMStrategy",
    "BlurrTextBlock",
    "CategoryBlock",
    "CausalCollator",
    "CausalLMStrategy",
    "ColReader",
    "ColSplitter",
    "DataBlock",
    "HFObjects",
    "IndexSplitter",
    "ItemGetter",
    "LMBatchTokenizeTransform",
    "LMType",
    "Loader",
    "Masking",
    "MaskingCollator",
    "MultiCategoryBlock",
    "OnlyFirstTokenLabelingStrategy",
    "PaddingCollator",
    "QABatchTokenizeTransform",
    "QuestionCollator",
    "QuestionRows",
    "RandomSplitter",
    "RawData",
    "RegressionBlock",
    "SameLabelLabelingStrategy",
    "Schema",
    "Seq2SeqBatchTokenizeTransform",
    "Seq2SeqTextBlock",
    "TaskTokenizeTransform",
    "TextBlock",
    "TextDL",
    "TokenCategoryBlock",
    "TokenClassBatchTokenizeTransform",
    "TokenizedRows",
    "align_labels",
    "collator_for",
    "first_blurr_tfm",
    "from_data",
    "get_hf_objects",
    "load_learner",
    "read_answers",
    "read_words",
    "tokenize_pairs",
    "tokenize_questions",
    "tokenize_texts",
    "tokenize_words",
]
