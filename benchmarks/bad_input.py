"""Give blurr every malformed input of tests/bad_input and count the clear answers: python -m benchmarks.bad_input."""

import os
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main() -> None:
    """Print a table of the kinds of input, and what went wrong."""
    os.environ.update(HF_HUB_OFFLINE="1", MLFLOW_DISABLE_TELEMETRY="true")
    from tests.bad_input.corpus import cases
    from tests.shared.checkpoints import make_tiny_bert

    given: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    console, table = Console(), Table("kind", "cases", "answered or handled", box=None)
    with tempfile.TemporaryDirectory() as root:
        good = make_tiny_bert(Path(root, "good"))
        for number, case in enumerate(cases(good)):
            folder = Path(root, str(number))
            folder.mkdir()
            os.chdir(folder)
            outcome = case.outcome(folder)
            given[case.kind] += 1
            answered[case.kind] += outcome == "ok"
            if outcome != "ok":
                console.print(f"{case}: {outcome}", markup=False)
        os.chdir("/")
    for kind, count in given.items():
        table.add_row(kind, str(count), str(answered[kind]))
    table.add_row("all", str(given.total()), str(answered.total()))
    console.print(table)


if __name__ == "__main__":
    main()
