"""The types of the knobs: what a number may be, said once where a function or dataclass declares it.

`blurr.checks` reads these annotations from the source text and checks a composed config against them
before anything heavy is imported.
"""

from typing import Annotated

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
