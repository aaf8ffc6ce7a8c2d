"""The types of config values: the range of a number is declared once, where a function or dataclass takes it.

`blurr.config.checks` reads these annotations from the source text and checks a composed config against them
before anything heavy is imported.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

MOST = 1_000_000_000
"""Above this, a count is a slip of the hand; larger ones overflow in the libraries that get them."""

Count = Annotated[int, Ge(1), Le(MOST)]
"""A whole number of at least one: batches, steps, trials."""

Natural = Annotated[int, Ge(0), Le(MOST)]
"""A whole number of at least zero: warm-up steps, tokens of overlap."""

Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
"""A seed that the generators of Python, NumPy and torch all take; NumPy's is the narrowest."""

CORES = os.cpu_count() or 1
MOST_WORKERS = max(16, 4 * CORES)
Workers = Annotated[int, Ge(0), Le(MOST_WORKERS)]
"""Processes of this machine; more than four for each core only take its memory and time."""

Processes = Annotated[int, Ge(1), Le(MOST_WORKERS)]
"""Processes of this machine that train together."""

Threads = Annotated[int, Ge(1), Le(MOST_WORKERS)] | Literal["auto"]
"""Threads that torch computes with; see `blurr.process.setup`."""

BatchRows = Annotated[int, Ge(1), Le(1_000_000)]
"""Rows of a batch."""

Epochs = Annotated[int, Ge(1), Le(1_000_000)]
"""Passes over the training rows."""

EpochsOrNone = Annotated[int, Ge(0), Le(1_000_000)]
"""Passes over the training rows in a phase that may be left out."""

Length = Annotated[int, Ge(1), Le(10_000_000)]
"""Tokens of a text; no published model reads more."""

SampleRows = Annotated[int, Ge(1), Le(10_000_000)]
"""Generated rows, which are held in memory."""

Beams = Annotated[int, Ge(1), Le(1000)]
"""Texts that are written side by side for one input."""

Layers = Annotated[int, Ge(0), Le(1000)]
"""Layers of a model."""

Vocab = Annotated[int, Ge(10), Le(2_000_000)]
"""Entries of a vocabulary; the largest of any published model has about a million."""

Multiple = Annotated[int, Ge(1), Le(8192)]
"""A number that lengths are rounded up to a multiple of."""

Size = Annotated[int, Ge(0), Le(10_000_000)]
"""A size of a model, such as its layers or the width of one."""

Side = Annotated[int, Ge(1), Le(16_384)]
"""Height or width of a picture in pixels."""

Parts = Annotated[int, Ge(2)]
"""A number of parts of which one is held out."""

Rate = Annotated[float, Gt(0), Le(1000)]
"""A learning rate. Weights are infinite after a step with a much larger one."""

Seconds = Annotated[float, Gt(0), Le(MOST)]
"""A time to wait: 30 years at most, more than the system's clock can count is an error there."""

Positive = Annotated[float, Gt(0), Le(1e12)]
"""A number above zero: a factor, a temperature."""

NonNegative = Annotated[float, Ge(0), Le(1e12)]
"""A number of at least zero: weight decay, a penalty."""

Fraction = Annotated[float, Ge(0), Le(1)]
"""A number from 0 to 1, both included: a share of the rows, a probability."""

OpenFraction = Annotated[float, Gt(0), Lt(1)]
"""A number between 0 and 1, both excluded: a decay factor, a split's share that must leave rows on both sides."""

Decay = Annotated[float, Ge(0), Lt(1)]
"""The share of a running mean kept at each step: a momentum, a beta. At 1 nothing is ever learnt."""

Smoothing = Annotated[float, Ge(0), Lt(1)]
"""The share of the target that label smoothing spreads over all classes or tokens."""


Copies = Annotated[int, Ge(0), Le(100)]
"""Changed copies of a picture that are predicted with it."""

Degrees = Annotated[float, Ge(0), Le(180)]
"""An angle to either side."""

Zoom = Annotated[float, Ge(1), Le(10)]
"""A factor by which something grows, and one over it by which it shrinks."""


@dataclass(frozen=True)
class SettingsOf:
    """Marks a mapping whose keys are the attributes of a class of another library.

    Args:
        library: its package.
        file: the module's path in it.
        name: the class.
        types: of the values of some keys; the others are left to the library.
    """

    library: str
    file: str
    name: str
    types: Mapping[str, Any] = field(default_factory=dict, hash=False)


TYPES_OF_GENERATION = {
    **dict.fromkeys(("max_new_tokens", "max_length"), Length | None),
    **dict.fromkeys(("num_beams", "num_return_sequences"), Beams | None),
    **dict.fromkeys(("min_new_tokens", "min_length", "top_k", "no_repeat_ngram_size"), Natural | None),
    **dict.fromkeys(("temperature", "repetition_penalty"), Positive | None),
    **dict.fromkeys(("top_p", "typical_p", "min_p", "epsilon_cutoff", "eta_cutoff"), Fraction | None),
    "length_penalty": float | None,  # below 0 it prefers short texts
    "do_sample": bool | None,
}
GenerationSettings = Annotated[
    dict[str, Any],
    SettingsOf("transformers", "generation/configuration_utils.py", "GenerationConfig", types=TYPES_OF_GENERATION),
]
"""Settings of generation: a setting that transformers does not know is refused before anything loads."""
