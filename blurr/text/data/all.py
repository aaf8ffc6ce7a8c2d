"""All of blurr's names for text data, for notebooks: `from blurr.text.data.all import *`."""

from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock
from fastai.data.transforms import ColReader, ColSplitter, IndexSplitter, ItemGetter, RandomSplitter

from blurr.data.batching import Loader, PaddingCollator, TokenizedRows
from blurr.data.core import RawData, Schema, from_data
from blurr.text.data.blocks import BatchTokenizeTransform, TextBlock, first_blurr_tfm
from blurr.text.data.core import TextDL, collator_for, tokenize_texts
from blurr.text.data.language_modeling import CausalCollator
from blurr.text.data.masking import Masking, MaskingCollator
from blurr.text.data.question_answering import QuestionCollator, QuestionRows, read_answers, tokenize_questions
from blurr.text.data.seq2seq import tokenize_pairs
from blurr.text.data.words import align_labels, read_words, tokenize_words
from blurr.text.hf_objects import NLP, HFObjects, get_hf_objects
from blurr.text.tasks.blocks import (
    LMBatchTokenizeTransform,
    QABatchTokenizeTransform,
    Seq2SeqBatchTokenizeTransform,
    Seq2SeqTextBlock,
    TaskTokenizeTransform,
    TokenCategoryBlock,
    TokenClassBatchTokenizeTransform,
)

# fastai has a TextBlock of its own: whoever imports fastai.text.all later still has this name for ours
BlurrTextBlock = TextBlock

__all__ = [
    "NLP",
    "BatchTokenizeTransform",
    "BlurrTextBlock",
    "CategoryBlock",
    "CausalCollator",
    "ColReader",
    "ColSplitter",
    "DataBlock",
    "HFObjects",
    "IndexSplitter",
    "ItemGetter",
    "LMBatchTokenizeTransform",
    "Loader",
    "Masking",
    "MaskingCollator",
    "MultiCategoryBlock",
    "PaddingCollator",
    "QABatchTokenizeTransform",
    "QuestionCollator",
    "QuestionRows",
    "RandomSplitter",
    "RawData",
    "RegressionBlock",
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
    "read_answers",
    "read_words",
    "tokenize_pairs",
    "tokenize_questions",
    "tokenize_texts",
    "tokenize_words",
]
