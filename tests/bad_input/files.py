"""What stands where a file of rows should: pipes, devices, links, closed folders, and too many files or columns."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blurr.config import places
from blurr.data import checks
from blurr.data.files import load_files
from blurr.text.sequence_classification.task import SequenceClassification
from tests.bad_input.case import HANDLED, Case
from tests.bad_input.configs import composed

CSV = "text,label\n" + "".join(f"a text {n},{'ab'[n % 2]}\n" for n in range(20))
SUFFIXES = ("csv", "tsv", "json", "jsonl", "parquet", "xlsx", "conll", "txt", "csv.gz")


def load(train: object, **options: object) -> None:
    load_files(SequenceClassification().schema, train=train, **options)  # type: ignore[arg-type]


def _device(suffix: str) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        (folder / f"r.{suffix}").symlink_to("/dev/zero")
        load(f"r.{suffix}")

    return give


def _pipe(folder: Path) -> None:
    os.mkfifo("r.csv")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("r.csv")


def _good(folder: Path) -> None:
    (folder / "rows").mkdir()
    (folder / "rows" / "r.csv").write_text(CSV)


def _good_beside_a_pipe(folder: Path) -> None:
    _good(folder)
    os.mkfifo("rows/s.csv")


def _good_beside_links(folder: Path) -> None:
    _good(folder)
    for name in ("one", "two"):
        (folder / "rows" / name).symlink_to("..")


def _circle(folder: Path) -> None:
    Path("a.csv").symlink_to("b.csv")
    Path("b.csv").symlink_to("a.csv")


def _link_to_nothing(folder: Path) -> None:
    Path("r.csv").symlink_to("nowhere.csv")


def _folder_of_model(folder: Path) -> None:
    (folder / "rows").mkdir()
    (folder / "rows" / "config.json").write_text('{"model_type": "bert"}')


def _hidden(folder: Path) -> None:
    (folder / "rows" / ".git").mkdir(parents=True)
    (folder / "rows" / ".hidden.csv").write_text(CSV)
    (folder / "rows" / ".git" / "r.csv").write_text(CSV)


def _mixed(folder: Path) -> None:
    _good(folder)
    (folder / "rows" / "r.json").write_text("[]")


def _folder_named_csv(folder: Path) -> None:
    (folder / "r.csv").mkdir()


def _other_columns(folder: Path) -> None:
    _good(folder)
    (folder / "rows" / "s.csv").write_text(CSV.replace("label", "stars"))


def _other_types(folder: Path) -> None:
    (folder / "rows").mkdir()
    for name, label in (("a", '"x"'), ("b", '{"x": 1}')):
        (folder / "rows" / f"{name}.jsonl").write_text(f'{{"text": "{name}", "label": {label}}}\n' * 9)


def _unpackable(suffix: str) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        (folder / f"r.csv.{suffix}").write_bytes(b"\0" * 100)

    return give


# name: (makes the files, what is loaded, answer)
FILES: dict[str, tuple[Callable[[Path], None], object, str]] = {
    "a named pipe": (_pipe, "r.csv", "r.csv is a named pipe, not a file"),
    "a named pipe among several files": (_good_beside_a_pipe, ["rows/r.csv", "rows/s.csv"], "is a named pipe"),
    "a named pipe in a pattern": (_good_beside_a_pipe, "rows/*.csv", "is a named pipe"),
    "a named pipe in a folder": (_good_beside_a_pipe, "rows", HANDLED),
    "a socket": (_socket, "r.csv", "r.csv is a socket, not a file"),
    "a circle of links": (_circle, "a.csv", "a.csv cannot be read: Too many levels"),
    "a link to nothing": (_link_to_nothing, "r.csv", "There is no file r.csv"),
    "a folder with links to itself": (_good_beside_links, "rows", HANDLED),
    "a pattern through links to itself": (_good_beside_links, "rows/**/*.csv", HANDLED),
    "a pattern of nothing through links to itself": (_good_beside_links, "rows/**/*.tsv", "No file fits the pattern"),
    "a folder of a model": (_folder_of_model, "rows", "no column 'text'|must hold a list"),
    "a folder of hidden files": (_hidden, "rows", "holds no file of a known format"),
    "a pattern of hidden files": (_hidden, "rows/**/*.csv", "No file fits the pattern"),
    "a folder of several formats": (_mixed, "rows", "several formats"),
    "a folder named as a file": (_folder_named_csv, "r.csv", "holds no file of a known format"),
    "a pattern that fits a folder": (_folder_named_csv, "*.csv", "r.csv"),
    "an empty pattern": (_good, "nothing/*", "No file fits the pattern"),
    "a list without files": (_good, [], "no rows"),
    "a list with an empty path": (_good, ["rows/r.csv", ""], "empty"),
    "files of other columns": (_other_columns, "rows", "no value for 'label'"),
    "files of other types": (_other_types, "rows", "do not fit together|for a label"),
    "a file packed by bzip2": (_unpackable("bz2"), "r.csv.bz2", "cannot be unpacked"),
    "a file packed by xz": (_unpackable("xz"), "r.csv.xz", "cannot be unpacked"),
    "a file packed by zip": (_unpackable("zip"), "r.csv.zip", "cannot be unpacked"),
    "an address": (_good, "https://127.0.0.1:9/r.csv", "is an address"),
    "a path of 5000 letters": (_good, "a" * 5000, "too long for a path"),
    "a path with a NUL byte": (_good, "a\0b.csv", "NUL"),
}


def _made(make: Callable[[Path], None], train: object) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        make(folder)
        load(train)

    return give


# -- what may not be read

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[Path]:
    """Act as a user whom nothing belongs to, in a folder of root's that she may enter; as root, all may be read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "rows" / "closed").mkdir(parents=True)
        (folder / "rows" / "closed" / "r.csv").write_text(CSV)
        (folder / "closed.csv").write_text(CSV)
        for closed in ("rows/closed", "closed.csv"):
            (folder / closed).chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(0)
            (folder / "rows/closed").chmod(0o755)


def _closed(train: str, give: Callable[[str], object]) -> Callable[[Path], None]:
    def given(_: Path) -> None:
        with as_nobody() as folder:
            give(str(folder / train))

    return given


def _by_config(train: str) -> None:
    checks.check_files({"data": {"_target_": checks.LOAD_FILES, "train": train}})


DOORS: dict[str, Callable[[str], object]] = {"the config": _by_config, "the reader": load}
CLOSED = {
    "a file that may not be read": ("closed.csv", "closed.csv.*cannot be read.*Permission denied"),
    "a folder that may not be walked": ("rows", "closed cannot be read: Permission denied"),
    "a file in a folder that may not be entered": ("rows/closed/r.csv", "cannot be read: Permission denied"),
    "a pattern in a folder that may not be walked": ("rows/**/*.csv", "closed cannot be read: Permission denied"),
}


def _whole_disk(folder: Path) -> None:
    """Give the root of the file system, and let the walk end early: it may hold a million files, or few."""
    before, places.MOST_ENTRIES = places.MOST_ENTRIES, 500
    try:
        load("/")
    finally:
        places.MOST_ENTRIES = before


# -- many


def _wide(columns: int) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        write_wide(folder / "r.csv", columns)
        load("r.csv")

    return give


def write_wide(file: Path, columns: int) -> None:
    names = ",".join(f"c{n}" for n in range(columns))
    lines = (f"a text {n},{'ab'[n % 2]}{',1' * columns}\n" for n in range(20))
    file.write_text(f"text,label,{names}\n" + "".join(lines))


def _wide_without_a_text(folder: Path) -> None:
    (folder / "r.csv").write_text(",".join(f"c{n}" for n in range(10_000)) + "\n" + ",".join("1" * 10_000) + "\n")
    load("r.csv")


def _many_files(columns: int = 0) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        files = [folder / f"{'a' * 60}{n:03}.csv" for n in range(200)]
        for n, file in enumerate(files):
            names = "".join(f",c{c}" for c in range(columns))
            file.write_text(f"text,label{names}\na text {n},{'ab'[n % 2]}{',1' * columns}\n")
        load([str(file) for file in files])
        composed("data=files", f"data.train=[{','.join(map(str, files))}]")

    return give


def cases(good: Path) -> Iterator[Case]:
    """Yield what stands in the place of a file."""
    for name, (make, train, says) in FILES.items():
        yield Case("file", name, _made(make, train), says)
    for suffix in SUFFIXES:
        yield Case("file", f"a link to a device, .{suffix}", _device(suffix), "is a device, not a file")
    yield Case("file", "a device by its format", lambda _: load("/dev/zero", format="csv"), "is a device, not a file")
    yield Case("file", "the null device", lambda _: load("/dev/null", format="csv"), "is a device, not a file")
    for door, give in DOORS.items():
        for name, (train, says) in CLOSED.items():
            if door == "the reader" or "pattern" not in name:
                yield Case("file", f"{name}, {door}", _closed(train, give), says)
    yield Case("file", "the whole disk", _whole_disk, "The folder / holds too much to look through")
    yield Case("many", "ten thousand columns", _wide(10_000), HANDLED, seconds=60, slow=True)
    yield Case("many", "ten thousand columns without a text", _wide_without_a_text, "no column 'text'.* and 9980 more")
    yield Case("many", "two hundred files, whose names are longer than a path", _many_files(), HANDLED)
    yield Case("many", "two hundred files of a thousand columns", _many_files(1000), HANDLED, seconds=60, slow=True)
    yield Case("many", "a thousand columns", _wide(1000), HANDLED)
