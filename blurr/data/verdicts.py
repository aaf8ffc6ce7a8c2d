"""Keep what came of examining files, by the hash of their content: the next run only reads and hashes them."""

import inspect
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import xxhash

from blurr.process.setup import cache_root

log = logging.getLogger(__name__)

NAME = "verdicts.sqlite"
PATIENCE = 5.0  # seconds to wait for another process that writes
TABLE = "CREATE TABLE IF NOT EXISTS verdicts (judge TEXT, hash TEXT, said TEXT, sum TEXT, PRIMARY KEY (judge, hash))"
FIND = "SELECT said, sum FROM verdicts WHERE judge = ? AND hash = ?"
KEEP = "INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?)"


@dataclass(frozen=True)
class Verdict:
    """What came of examining a file.

    Attributes:
        hash: Of its content, 32 hexadecimal digits; '' for one that cannot be read.
        measures: See `media.Media.measures`; empty for a broken one.
        mistake: What is wrong with it; '' for nothing.
    """

    hash: str = ""
    measures: Mapping[str, float] = field(default_factory=dict)
    mistake: str = ""


class Verdicts:
    """The verdicts of one judge; one that cannot be read or written is forgotten, and the files examined again.

    Args:
        connection: To the database; None where there is none.
        judge: Who judges: another code or another library may judge otherwise.
    """

    def __init__(self, connection: sqlite3.Connection | None, judge: str) -> None:
        self.connection, self.judge, self.lock = connection, judge, Lock()

    def find(self, digest: str) -> Verdict | None:
        """Return the verdict on a content by its hash; None if there is none yet. Any thread may ask."""
        if self.connection is None:
            return None
        try:
            with self.lock:
                row = self.connection.execute(FIND, (self.judge, digest)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return None if row is None or row[1] != _sum(digest, row[0]) else Verdict(digest, **json.loads(row[0]))

    def keep(self, verdicts: Iterable[Verdict]) -> None:
        """Write verdicts down."""
        if self.connection is None:
            return
        said = [(each.hash, json.dumps({"measures": each.measures, "mistake": each.mistake})) for each in verdicts]
        try:
            with self.lock, self.connection:
                self.connection.executemany(KEEP, [(self.judge, key, text, _sum(key, text)) for key, text in said])
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        log.debug("The verdicts on files cannot be kept: %s", error)
        self.connection = None


@contextmanager
def opened(judge: object, version: str) -> Iterator[Verdicts]:
    """Open the verdicts of a judge.

    Args:
        judge: Whose code examines the files, with the modules beside its own.
        version: Of the libraries that it uses.
    """
    modules = sorted(Path(inspect.getfile(type(judge))).parent.glob("*.py"))
    code = b"".join(module.read_bytes() for module in modules)
    name = f"{type(judge).__name__} {xxhash.xxh3_64_hexdigest(code)} {version}"
    file = cache_root() / NAME
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = _connected(file)
    except (OSError, sqlite3.Error) as error:
        log.debug("The verdicts on files cannot be kept in %s: %s", file, error)
        yield Verdicts(None, name)
        return
    with closing(connection):
        yield Verdicts(connection, name)


def _connected(file: Path) -> sqlite3.Connection:
    """Open the database; one that is damaged is begun anew."""
    connection = sqlite3.connect(file, timeout=PATIENCE, check_same_thread=False)
    try:
        connection.execute(TABLE)
    except sqlite3.OperationalError:  # it is locked, or the disk is full
        connection.close()
        raise
    except sqlite3.DatabaseError:
        connection.close()
        file.unlink(missing_ok=True)
        connection = sqlite3.connect(file, timeout=PATIENCE, check_same_thread=False)
        connection.execute(TABLE)
    return connection


def _sum(digest: str, said: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{digest} {said}".encode())
