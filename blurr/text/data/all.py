"""All of blurr's names for text data, for notebooks: `from blurr.text.data.all import *`."""

from blurr.data.batching import Loader, PaddingCollator, TokenizedRows
from blurr.data.core import RawData, Schema, from_data
from blurr.text.data.core import (
    BatchTokenizeTransform,
    TextBlock,
    TextDL,
    collator_for,
    first_blurr_tfm,
    tokenize_texts,
)
from blurr.text.data.seq2seq import tokenize_pairs
from blurr.text.hf_objects import NLP, HFObjects, get_hf_objects

__all__ = [
    "NLP",
    "BatchTokenizeTransform",
    "HFObjects",
    "Loader",
    "PaddingCollator",
    "RawData",
    "Schema",
    "TextBlock",
    "TextDL",
    "TokenizedRows",
    "collator_for",
    "first_blurr_tfm",
    "from_data",
    "get_hf_objects",
    "tokenize_pairs",
    "tokenize_texts",
]
