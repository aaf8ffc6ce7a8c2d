"""Tiny checkpoints, and rows to learn from."""

import pandas as pd
import pytest
from checkpoints import BAD, GOOD, tiny_bart, tiny_bert

__all__ = ["tiny_bart", "tiny_bert"]


@pytest.fixture
def reviews() -> pd.DataFrame:
    """Forty rows of two classes, the last ten for validation."""
    words = [(GOOD if i % 2 else BAD)[i // 2 % 4] for i in range(40)]
    return pd.DataFrame(
        {
            "text": [f"the film was {word}" + " and it is a plot" * (i % 3) for i, word in enumerate(words)],
            "label": ["good" if i % 2 else "bad" for i in range(40)],
            "is_valid": [i >= 30 for i in range(40)],
        }
    )


@pytest.fixture
def notes() -> pd.DataFrame:
    """Twenty texts with summaries, a quarter of them for validation."""
    words = [(GOOD + BAD)[i % 8] for i in range(20)]
    return pd.DataFrame(
        {
            "text": [f"the film was {word} and it is a plot" + " ." * (i % 4) for i, word in enumerate(words)],
            "summary": [f"{word} film" for word in words],
            "is_valid": [i % 4 == 0 for i in range(20)],
        }
    )
