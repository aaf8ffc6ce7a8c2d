"""Vocabularies of models that write what they hear, learned from the texts of the training rows alone."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, Wav2Vec2CTCTokenizer, WhisperTokenizer

from blurr.errors import InputError

BLANK, UNKNOWN, SPACE = "<pad>", "<unk>", "|"  # by the names that wav2vec 2.0 has for them
BEGIN, END = "<s>", "</s>"
END_OF_WHISPER = "<|endoftext|>"
OF_WHISPER = (
    *("<|startoftranscript|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>"),
    *("<|nospeech|>", "<|notimestamps|>"),  # timestamps have the ids after these
)


def letters_of(corpus: Iterable[str]) -> Wav2Vec2CTCTokenizer:
    """Return a tokenizer of the characters of texts, for CTC: its pad token is the blank, and `|` stands for a space.

    Raises:
        InputError: a text holds `|`, which would be read as a space, or there are no characters.
    """
    found = sorted({letter for text in corpus for letter in text if not letter.isspace()})
    if SPACE in found:
        raise InputError(
            "A text of the training rows holds '|', which stands for the space between words in the vocabulary of a "
            "CTC model. Take it out of the texts."
        )
    if not found:
        raise InputError("The texts of the training rows are all empty, so there is no vocabulary to learn from them.")
    ids = {token: number for number, token in enumerate([BLANK, UNKNOWN, SPACE, *found])}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
        named = {"bos_token": None, "eos_token": None, "pad_token": BLANK, "unk_token": UNKNOWN}
        return Wav2Vec2CTCTokenizer(str(file), **named, word_delimiter_token=SPACE)  # type: ignore[no-untyped-call]


def pieces_of(arch: str, corpus: Iterable[str], size: int) -> PreTrainedTokenizerBase:
    """Train a tokenizer of pieces of words, by byte-pair encoding, for a model whose decoder writes texts.

    Args:
        arch: Hugging Face's name of the architecture.
        corpus: The texts.
        size: Largest number of pieces.
    """
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=letters, show_progress=False)
    backend.train_from_iterator(corpus, trainer)
    learned = json.loads(backend.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    named: dict[str, Any]
    special = (END_OF_WHISPER, *OF_WHISPER) if arch == "whisper" else (BLANK, BEGIN, END)
    ids = {token: number for number, token in enumerate([*learned["vocab"], *special])}
    if arch == "whisper":
        named = {"pad_token": END_OF_WHISPER, "additional_special_tokens": list(OF_WHISPER)}
        return WhisperTokenizer(vocab=ids, merges=merges, **named)
    backend.model = models.BPE(vocab=ids, merges=merges)
    backend.decoder = decoders.ByteLevel()
    named = {"pad_token": BLANK, "bos_token": BEGIN, "eos_token": END}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named)  # type: ignore[no-untyped-call]
