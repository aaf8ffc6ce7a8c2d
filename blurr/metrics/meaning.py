"""Metrics of generated texts that match more than equal words: METEOR and BERTScore."""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, Literal, NamedTuple

import torch
from nltk.corpus import wordnet
from nltk.tokenize import wordpunct_tokenize
from nltk.translate.meteor_score import single_meteor_score
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from blurr.config.annotations import Count
from blurr.errors import InputError, resource_error
from blurr.metrics.texts import MeanOfTexts, Tokenizer, words_and_signs_of


class _NoSynonyms:
    """Stand in for WordNet if its data is missing."""

    @staticmethod
    def synsets(word: str) -> list[Any]:
        """Return no synonyms."""
        return []


class Meteor(MeanOfTexts):
    """METEOR (Banerjee and Lavie 2005), from 0 to 1, by nltk: words match if they or their stems are equal.

    Synonyms match, too, if WordNet is installed (`nltk.download("wordnet")`); scores with and without it differ.
    Words are runs of letters and digits, or of punctuation, which needs no data from nltk.

    Args:
        synonyms: `auto` uses WordNet if it is installed, `true` requires it, `false` does without.
        tokenizer: How to find words: `latin` uses nltk's `wordpunct_tokenize`, for which a Chinese sentence is one
            word; `whitespace`, `characters` and `auto` as for `Rouge`.

    Raises:
        InputError: WordNet is required and missing.
    """

    def __init__(self, synonyms: Literal["auto", True, False] = "auto", tokenizer: Tokenizer = "auto") -> None:
        there = synonyms is not False and has_wordnet()
        if synonyms is True and not there:
            raise InputError(
                "metrics.meteor.synonyms=true needs the WordNet data of nltk, which is not on this machine. Run "
                "python -m nltk.downloader wordnet, or set metrics.meteor.synonyms=false."
            )
        self.wordnet = wordnet if there else _NoSynonyms()
        super().__init__(tokenizer)

    def scores(self, predictions: Sequence[str], targets: Sequence[str]) -> Iterator[float]:
        for predicted, true in zip(predictions, targets, strict=True):
            way = self.way(true)
            cut = wordpunct_tokenize if way == "latin" else partial(words_and_signs_of, way=way)
            words = (list(cut(true)), list(cut(predicted)))
            yield float(single_meteor_score(*words, wordnet=self.wordnet))


def has_wordnet() -> bool:
    """Return whether nltk finds the data of WordNet."""
    try:
        wordnet.ensure_loaded()
    except LookupError:
        return False
    return True


class _Embedded(NamedTuple):
    """Texts as a model sees them.

    Args:
        vectors: Vectors of length 1, `(batch, sequence, width)`.
        real: 1 for tokens of the text and special ones, 0 for pads, `(batch, sequence)`.
        counts: 1 for tokens of the text, `(batch, sequence)`.
    """

    vectors: torch.Tensor
    real: torch.Tensor
    counts: torch.Tensor


class BertScore(MeanOfTexts):
    """BERTScore (Zhang et al. 2020, arXiv:1904.09675): tokens match by the cosine of their contextual embeddings.

    There is no idf weighting and no baseline. torchmetrics 1.9 mixes up the rows of a batch if lengths differ, and
    bert-score 0.3.13, which returns the same scores as this class, fails on empty texts.

    Args:
        model: Local folder, or Hub id, of the encoder.
        score: `f1`, `precision` or `recall`.
        layer: The layer whose output is compared, from 1; None takes the last.

    Raises:
        InputError: The model cannot be loaded, or has fewer layers.
    """

    def __init__(
        self, model: str, score: Literal["f1", "precision", "recall"] = "f1", layer: Count | None = None
    ) -> None:
        self.model, self.score, self.layer = model, score, layer
        layers = _encoder(model)[0].config.num_hidden_layers  # loaded here, so that a wrong folder shows at once
        if layer is not None and layer > layers:
            raise InputError(f"metrics.bertscore.layer={layer}, but {model} has {layers} layers.")
        super().__init__()

    def scores(self, predictions: Sequence[str], targets: Sequence[str]) -> Iterator[float]:
        rows = [i for i, pair in enumerate(zip(predictions, targets, strict=True)) if all(t.strip() for t in pair)]
        scores = [0.0] * len(predictions)  # nothing in an empty text matches
        if rows:
            found = self._matched([predictions[i] for i in rows], [targets[i] for i in rows])
            for i, score in zip(rows, found.tolist(), strict=True):
                scores[i] = score
        return iter(scores)

    def _matched(self, predictions: list[str], targets: list[str]) -> torch.Tensor:
        predicted, true = self._embed(predictions), self._embed(targets)
        cosines = predicted.vectors @ true.vectors.transpose(1, 2)  # (batch, predicted tokens, true tokens)
        cosines = cosines * predicted.real[:, :, None] * true.real[:, None, :]
        precision = (cosines.amax(2) * predicted.counts).sum(1) / predicted.counts.sum(1).clamp(min=1)
        recall = (cosines.amax(1) * true.counts).sum(1) / true.counts.sum(1).clamp(min=1)
        f1 = 2 * precision * recall / (precision + recall)
        return {"precision": precision, "recall": recall, "f1": f1.nan_to_num()}[self.score]

    def _embed(self, texts: list[str]) -> _Embedded:
        model, tokenizer = _encoder(self.model)
        limit = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        inputs = tokenizer(
            [t.strip() for t in texts], padding=True, truncation=True, max_length=limit, return_tensors="pt"
        )
        with torch.inference_mode():
            output = model(inputs["input_ids"], inputs["attention_mask"], output_hidden_states=True)
        vectors = output.hidden_states[-1 if self.layer is None else self.layer]
        ends = torch.tensor([i for i in (tokenizer.cls_token_id, tokenizer.sep_token_id) if i is not None])
        real = inputs["attention_mask"]
        counts = real * ~torch.isin(inputs["input_ids"], ends)
        return _Embedded(torch.nn.functional.normalize(vectors, dim=-1), real, counts)


@lru_cache(maxsize=2)
def _encoder(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load an encoder once, outside of the metric, so that copies and exports of the metric do not hold it."""
    try:
        model = AutoModel.from_pretrained(name, trust_remote_code=False).eval()
        return model, AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as e:
        failure = resource_error(e)
        if failure is not None:
            raise failure from e
        raise InputError(
            f"metrics.bertscore.model={name}: no encoder can be loaded from there. Give a folder that save_pretrained "
            "wrote, with its tokenizer."
        ) from e
