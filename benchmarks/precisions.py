"""Predict with one model in each of its forms: `python -m benchmarks.precisions --run FOLDER --input FILE`.

The weights as they are, in bfloat16 (where the CPU has instructions for it) and with 8-bit integers; in turn, on the
first rows of a file. The run is one of sequence classification.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.commands import markdown, show
from benchmarks.measuring import alternate, machine, ratio, timed
from blurr.data.formats.content import FileOptions
from blurr.data.readers import stream_files
from blurr.data.sources import find_files
from blurr.models.devices import bf16_speed
from blurr.process.setup import hide_progress_bars
from blurr.serve.lowering import load_lowered
from blurr.serve.predictor import Predictor

ROWS, ROUNDS = 1500, 5
FORMS: dict[str, dict[str, Any]] = {
    "the weights as they are": {},
    "`--precision bf16`": {"precision": "bf16"},
    "`--quantize int8`": {"quantize": "int8"},
}


def texts_of(file: Path, column: str) -> list[str]:
    """Give the first texts of a file."""
    rows = stream_files(find_files(str(file), FileOptions()))
    return [row[column] for row in islice(rows, ROWS) if isinstance(row, dict)]


def rows_of_table(forms: dict[str, Predictor], texts: Sequence[str]) -> list[list[str]]:
    """Give rows of the table: speed, and agreement with the first form."""
    answers = {name: form.predict(texts) for name, form in forms.items()}
    first = next(iter(forms))
    seconds = alternate(
        {name: partial(timed, partial(form.predict, texts)) for name, form in forms.items()}, repeats=ROUNDS
    )
    rows = []
    for name in forms:
        pairs = list(zip(answers[first], answers[name], strict=True))
        alike = sum(one["label"] == other["label"] for one, other in pairs)
        apart = max(abs(one["score"] - other["score"]) for one, other in pairs if one["label"] == other["label"])
        rate = len(texts) / sorted(seconds[name])[ROUNDS // 2]
        rows.append([name, f"{rate:.0f}", f"{ratio(seconds[first], seconds[name]):.2f}", f"{alike}", f"{apart:.1e}"])
    return rows


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run of sequence classification")
    parser.add_argument("--input", type=Path, required=True, help="a file with texts")
    parser.add_argument("--column", default="text", help="of the texts")
    given = parser.parse_args()
    hide_progress_bars()
    show(machine())
    known = {name: options for name, options in FORMS.items() if bf16_speed() > 0.5 or "precision" not in options}
    loaded = {name: load_lowered(given.run, device="cpu", **options) for name, options in known.items()}
    texts = texts_of(given.input, given.column)
    forms = {name: form for name, (form, _) in loaded.items()}
    header = ["form", "rows a second", "times as fast", f"same label of {len(texts)}", "score differs by at most"]
    show(markdown(header, rows_of_table(forms, texts)))
    for name, (_, said) in loaded.items():
        if said:
            show(f"{name} says: {said}")


if __name__ == "__main__":
    main()
