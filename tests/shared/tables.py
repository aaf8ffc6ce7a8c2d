"""Tables of each format that files of pictures and sounds are listed in."""

from pathlib import Path
from typing import Any

import pandas as pd


def table(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    """Write rows to a table whose name tells its format."""
    frame, path = pd.DataFrame(rows), folder / name
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".tsv":
            frame.to_csv(path, index=False, sep="\t")
        case ".jsonl":
            frame.to_json(path, orient="records", lines=True)
        case ".xlsx":
            frame.to_excel(path, index=False)
        case _:
            frame.to_parquet(path)
    return path
