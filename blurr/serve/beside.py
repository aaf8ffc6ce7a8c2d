"""Write what a prediction holds as a file, such as a mask, beside the table of the predictions."""

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blurr.data.media import OWN


class FilesBeside:
    """Put fields of predictions into files, named as the files that were predicted on.

    Args:
        table: That is written; the files of a field `mask` are in the folder `<its stem>_masks` beside it.
        fields: That hold files as base64 text, with the suffixes of their names.
    """

    def __init__(self, table: Path, fields: Mapping[str, str]) -> None:
        self.table, self.fields = table, fields
        self.taken: set[str] = set()
        self.count = 0

    def __call__(self, item: Mapping[str, Any], result: Any) -> Any:
        """Return a result with the paths of its files, from the table's folder; a failure as it is."""
        self.count += 1
        if not isinstance(result, dict):
            return result
        name = self._name(item)
        return {**result, **{field: self._written(field, name, result[field]) for field in self.fields}}

    def _name(self, item: Mapping[str, Any]) -> str:
        paths = [value.get(OWN[0]) if isinstance(value, Mapping) else value for value in item.values()]
        path = next((path for path in paths if isinstance(path, str)), None)
        wanted = Path(path).stem if path else str(self.count)
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name

    def _written(self, field: str, name: str, content: str) -> str:
        folder = self.table.with_name(f"{self.table.stem}_{field}s")
        folder.mkdir(exist_ok=True)
        file = folder / f"{name}{self.fields[field]}"
        file.write_bytes(b64decode(content))
        return f"{folder.name}/{file.name}"
