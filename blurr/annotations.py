"""The types of the knobs: what a number may be, said once where a function or dataclass declares it.

`blurr.checks` reads these annotations from the source text and checks a composed config against them
before anything heavy is imported.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Ge(1)]
"""A whole number of at least one: epochs, batch sizes, layers."""

Natural = Annotated[int, Ge(0)]
"""A whole number of at least zero: workers, warm-up steps, a seed."""

Positive = Annotated[float, Gt(0)]
"""A number above zero: a learning rate, a temperature."""

NonNegative = Annotated[float, Ge(0)]
"""A number of at least zero: weight decay, a penalty."""

Fraction = Annotated[float, Ge(0), Le(1)]
"""A number from 0 to 1, both included: a share of the rows, a probability."""

OpenFraction = Annotated[float, Gt(0), Lt(1)]
"""A number between 0 and 1, both excluded: a decay factor, a split's share that must leave rows on both sides."""

Smoothing = Annotated[float, Ge(0), Lt(1)]
"""A share of the target that label smoothing spreads over all classes or tokens."""


@dataclass(frozen=True)
class SettingsOf:
    """Marks a mapping whose keys are the attributes of a class of another library.

    Args:
        library: its package.
        file: the module's path in it.
        name: the class.
    """

    library: str
    file: str
    name: str


GenerationSettings = Annotated[
    dict[str, Any], SettingsOf("transformers", "generation/configuration_utils.py", "GenerationConfig")
]
"""Settings of generation: a setting that transformers does not know is refused before anything loads."""
