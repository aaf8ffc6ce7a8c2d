"""Train a tokenizer of the kind that an architecture uses, the same one at each call."""

import math
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, trainers
from transformers import PreTrainedTokenizerBase, T5Tokenizer
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

from blurr.errors import InputError, nearest

CONTINUED = "##"  # marks a WordPiece that continues a word


def train_tokenizer(
    arch: str, corpus: Iterable[str], *, vocab_size: int, tokenizer: str | None = None
) -> PreTrainedTokenizerBase:
    """Train a tokenizer of the architecture's own kind on texts.

    The library's trainers of WordPiece and Unigram models return another vocabulary at each call, so that one seed
    would not mean one result. All three kinds of model learn their pieces by byte-pair encoding, which does not.

    Args:
        arch: Hugging Face's name of the architecture.
        corpus: The texts.
        vocab_size: Largest size of the vocabulary.
        tokenizer: Another tokenizer class, for architectures whose own cannot be trained.

    Raises:
        InputError: The architecture or the class is unknown, or cannot be trained.
    """
    empty = _empty(arch, tokenizer)
    if not empty.is_fast:
        return empty  # letters or bytes are its ids: there is nothing to train
    if isinstance(empty.backend_tokenizer.model, models.BPE):
        trained = empty.train_new_from_iterator(corpus, vocab_size=vocab_size, show_progress=False)
    else:
        # training on nothing gives the special tokens their ids
        trained = empty.train_new_from_iterator([""], vocab_size=len(empty), show_progress=False)
        _set_pieces(trained.backend_tokenizer, count_pieces(trained.backend_tokenizer, corpus, vocab_size), vocab_size)
    if trained.pad_token_id is None:
        trained.add_special_tokens({"pad_token": "<pad>"})
    result: PreTrainedTokenizerBase = trained
    return result


def _empty(arch: str, tokenizer: str | None) -> PreTrainedTokenizerBase:
    class_name = tokenizer or TOKENIZER_MAPPING_NAMES.get(arch)
    cls = tokenizer_class_from_name(class_name) if class_name else None
    if cls is None:
        classes = {name for name in TOKENIZER_MAPPING_NAMES.values() if isinstance(name, str)}
        wrong, there = (arch, TOKENIZER_MAPPING_NAMES) if tokenizer is None else (tokenizer, classes)
        raise InputError(
            f"No tokenizer is known for {wrong!r}.{nearest(wrong, there)} Set model.scratch_tokenizer to a class of "
            "transformers, such as T5Tokenizer or BertTokenizer."
        )
    try:
        made: PreTrainedTokenizerBase = cls(extra_ids=0) if issubclass(cls, T5Tokenizer) else cls()
    except (TypeError, ValueError, ImportError) as e:  # it needs files or a package that are missing
        raise InputError(
            f"The tokenizer {class_name} of {arch!r} cannot be made without its files ({str(e).splitlines()[0]}). "
            "Set model.scratch_tokenizer to another class of transformers, such as T5Tokenizer or BertTokenizer."
        ) from e
    return made


def count_pieces(backend: Tokenizer, corpus: Iterable[str], vocab_size: int) -> Counter[tuple[bool, str]]:
    """Learn pieces of words by byte-pair encoding, and count how often each starts or continues a word.

    Args:
        backend: Its normalizer and pre-tokenizer cut a text into words.
        corpus: The texts.
        vocab_size: Largest number of pieces.

    Returns:
        The count of each `(starts a word, piece)`.
    """
    words: Counter[str] = Counter()
    for text in corpus:
        plain = backend.normalizer.normalize_str(text) if backend.normalizer else text
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(plain))
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False)
    learner.train_from_iterator((word for word in sorted(words) for _ in range(words[word])), trainer)
    pieces: Counter[tuple[bool, str]] = Counter()
    for word, n in words.items():
        for i, piece in enumerate(learner.encode(word).tokens):
            pieces[i == 0, piece] += n
    return pieces


def _set_pieces(backend: Tokenizer, pieces: Counter[tuple[bool, str]], vocab_size: int) -> None:
    """Set the vocabulary of a WordPiece or Unigram model: special tokens, all letters, then pieces by frequency."""
    special = [backend.id_to_token(i) for i in range(backend.get_vocab_size())]
    letters = sorted({letter for _, piece in pieces for letter in piece})
    is_word_piece = isinstance(backend.model, models.WordPiece)
    counts: Counter[str] = Counter()
    for (starts, piece), n in pieces.items():
        counts[piece if starts or not is_word_piece else CONTINUED + piece] += n
    basic = letters + [CONTINUED + letter for letter in letters] if is_word_piece else letters
    frequent = sorted(set(counts) - set(basic), key=lambda piece: (-counts[piece], piece))
    names = [name for name in [*special, *basic, *frequent] if name]
    names = list(dict.fromkeys(names))[: max(vocab_size, len(special) + len(basic))]
    if is_word_piece:
        ids = {name: i for i, name in enumerate(names)}
        backend.model = models.WordPiece(vocab=ids, unk_token=backend.model.unk_token)
        return
    total = max(sum(counts.values()), 1)
    # a letter that is nowhere a piece by itself gets the lowest score: the last resort for unknown words
    scores = [0.0 if name in special else math.log(max(counts[name], 0.1) / total) for name in names]
    unknown = next(i for i, name in enumerate(names) if "unk" in name.lower())
    backend.model = models.Unigram(list(zip(names, scores, strict=True)), unk_id=unknown, byte_fallback=False)
