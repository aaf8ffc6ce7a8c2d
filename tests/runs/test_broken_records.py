"""A record that somebody or something has changed is refused in one message, or read as it was; nothing else happens.

Every file that blurr reads again is spoiled in every way that hypothesis thinks of: in bytes, and in the values that it
holds. `-m slow` tries fifty times as often.
"""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import running
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blurr.config import checks, explain
from blurr.errors import InputError
from blurr.report.compare import changed_predictions, config_differences, metric_differences, significance
from blurr.report.leaderboard import leaderboard
from blurr.report.overview import card, command, note, overview
from blurr.report.page import sections
from blurr.reproduce import config_of, differences
from blurr.runs import folder as files
from blurr.runs import resume
from blurr.runs.checksums import SEAL
from blurr.runs.checksums import is_sealed as is_sealed_folder
from blurr.runs.folder import claimed, holds_run, identity_of
from blurr.runs.journal import Journal, written_points
from blurr.runs.record import Record
from blurr.serve.evaluating import kept_metrics
from blurr.serve.model_folder import check_model
from blurr.sweep.board import Board
from blurr.sweep.commands import _ledger, _objectives
from blurr.sweep.configurations import best, configurations_of
from blurr.sweep.export import experiment_yaml
from blurr.sweep.ledger import Ledger
from blurr.sweep.resuming import expand
from blurr.tasks.saved import FILE, load_task
from blurr.training.checkpoints import PLACE, latest
from blurr.training.session import resume_point

OLD = Path(__file__).parents[1] / "old"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
WHOLE = (
    *("", "\n", "[]", "{}", "null", "3", '"text"', "NaN", "[1]", "{", "\0" * 200, "\ufeff{}", "- a", "'"),
    *("[" * 5000 + "]" * 5000, '{"a":' * 500 + "1" + "}" * 500, "- " * 200 + "a", "1" * 5000, '{"a": 1, "a": 2}', BOMB),
    *(
        "a: 2020-01-01",
        "a: !!binary aGk=",
        "? [a]\n: b",
        "!!python/object:os.system {}",
        '"\\ud800"',
        "\x1b[2J",
        "a: 1\na: 2",
    ),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        3,
        2**70,
        10**400,
        0.5,
        -0.0,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "nan",
        "../..",
        "${oc.env:HOME}",
    ),
    *(
        [],
        [None],
        ["x"],
        [[1]],
        {},
        {"x": 1},
        {"_target_": "os.system"},
        "a" * 3000,
        "\0",
        "\ud800",
        "$x_{",
        "<b>",
        "???",
        "2020-01-01",
    ),
)
FAST, LONG = 3, 150  # examples for each file


def answered(call: Callable[[], Any]) -> Any:
    """Call it; return what it returns, or None if it refuses in one message; anything else is an error of the test."""
    try:
        return call()
    except Exception as error:
        if not isinstance(explain.answer_to(error), InputError):
            raise
        message = str(explain.answer_to(error))
        assert len(message) < 3000, "it is too long for a message"
        return None


# -- spoiling


@st.composite
def spoiled(draw: st.DrawFn, whole: bytes, suffix: str) -> bytes:
    ways = [_bytes, _whole] if suffix not in (".json", ".jsonl", ".yaml") else [_bytes, _values, _values, _whole]
    return draw(st.sampled_from(ways))(draw, whole, suffix)


def _bytes(draw: st.DrawFn, whole: bytes, suffix: str) -> bytes:
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = start + draw(st.sampled_from([0, 1, 2, 8, 40, 500]))
        match draw(st.sampled_from(["flip", "cut", "zero", "remove", "repeat", "insert"])):
            case "flip" if data:
                data[start] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[start:]
            case "zero":
                data[start:end] = bytes(len(data[start:end]))
            case "remove":
                del data[start:end]
            case "repeat":
                data[start:start] = data[start:end]
            case "insert":
                data[start:start] = draw(
                    st.sampled_from([b"\n", b" ", b'"', b"{", b"]", b"\xff", b"9", b"-", b",", b": ", b"\0"])
                )
    return bytes(data)


def _whole(draw: st.DrawFn, whole: bytes, suffix: str) -> bytes:
    return draw(st.sampled_from(WHOLE)).encode(errors="surrogatepass")


def _values(draw: st.DrawFn, whole: bytes, suffix: str) -> bytes:
    """Replace, remove or rename a value of a file."""
    text = whole.decode()
    lines = text.splitlines() if suffix == ".jsonl" else [text]
    number = draw(st.integers(0, len(lines) - 1))
    found = yaml.safe_load(text) if suffix == ".yaml" else json.loads(lines[number])
    changed = _changed(draw, found)
    if suffix == ".yaml":
        return yaml.safe_dump(changed, allow_unicode=True).encode(errors="surrogatepass")
    lines[number] = json.dumps(changed)
    return "\n".join([*lines, ""] if suffix == ".jsonl" else lines).encode()


def _changed(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict | list) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
        made = copy.copy(value)
        if draw(st.integers(0, 4)):
            made[key] = _changed(draw, value[key])
        else:
            del made[key]
        return made
    return copy.deepcopy(draw(st.sampled_from(VALUES)))


# -- what reads a record


def of_report(folder: Path) -> Any:
    record = Record(folder)
    sections(record), overview(record), note(record), card(record), command(record)
    return record.scores, record.facts, record.tables, record.tags, record.config, record.log.to_csv()


def of_reproduction(folder: Path) -> Any:
    record = Record(folder)
    cfg = config_of(record, [])
    checks.check(cfg)
    cfg.output_dir = ""  # has the time
    return cfg, list(differences(record, "abc")), record.scores, record.overrides


def of_comparison(folder: Path) -> None:
    record, other = Record(folder), Record(folder.parent / "other")
    for pair in ((record, other), (other, record)):
        metric_differences(pair), changed_predictions(*pair), significance(*pair)
    config_differences([record, other])


def of_outputs(folder: Path) -> None:
    leaderboard(folder.parent)


def of_start(folder: Path) -> Any:
    """Read what a run reads before it goes on, or begins in a folder that has one."""
    holds_run(folder)
    identity = identity_of(folder)
    words = resume.expand([f"resume={folder}"], lambda name, uri: Path(name))
    with claimed(folder, goes_on=True) as claim:
        kept, _ = resume_point(folder, {**Record(folder.parent / "other").config, "resume": "auto"}, claim.identity)
    list(written_points(folder))
    return identity, words, Journal.read(folder), (folder / files.METRICS).read_bytes()[:kept]


def of_new_run(folder: Path) -> None:
    with claimed(folder):
        pass


def of_checkpoint(folder: Path) -> Any:
    found = latest(folder / files.CHECKPOINTS)
    return None if found is None else (found.place, found.facts)


def of_model(folder: Path) -> Any:
    check_model(folder / files.MODEL)
    saved = load_task(folder / files.MODEL)
    kept_metrics(saved)
    return saved


def of_sweep(folder: Path) -> Any:
    ledger = _ledger(str(folder))
    words = expand([f"sweep.resume={folder}"])
    Board(_objectives(ledger), ledger.head["total"], workers=1).close(ledger)
    for trial in best(configurations_of(ledger.trials.values()), _objectives(ledger)):
        experiment_yaml(ledger, trial)
    return words, ledger.head, ledger.trials


# Every file that is read again, and what reads it.
READERS: dict[str, tuple[Callable[[Path], Any], ...]] = {
    files.CONFIG: (of_report, of_reproduction, of_start, of_outputs),
    files.OVERRIDES: (of_reproduction, of_start),
    files.ENVIRONMENT: (of_report, of_reproduction),
    files.FACTS: (of_report, of_outputs),
    files.SCORES: (of_report, of_outputs),
    files.INTERVALS: (of_report,),
    files.METRICS: (of_report, of_start, of_new_run),
    files.DIFF: (of_reproduction,),
    files.RECORD: (of_report, of_start, of_new_run, of_outputs),
    files.TABLES["valid"]: (of_report, of_comparison),
    files.TABLES["test"]: (of_report,),
    f"{files.MODEL}/{FILE}": (of_model,),
    f"{files.MODEL}/{SEAL}": (of_model,),
    f"{files.CHECKPOINTS}/step-00000004/{PLACE}": (of_checkpoint, of_start),
    f"{files.CHECKPOINTS}/step-00000004/{SEAL}": (of_checkpoint, of_start),
}
UNREAD = {
    files.ERROR: "for the user",
    files.REPORT: "for the user",
    files.LR_FIND: "for the user",
    files.PREVIEWS: "only of rows that hold files: see tests/report/test_reports_of_pictures.py",
    **{f"{split}_entities.txt": "shown as it is" for split in files.TABLES},
}


def test_no_file_of_a_run_is_forgotten():
    named = {
        name
        for name in files.FILES
        if "*" not in name and Path(name).suffix in (".json", ".jsonl", ".yaml", ".txt", ".html", ".diff")
    }
    # sealed, or read by transformers, peft and MLflow
    model = {name for name in named if name.startswith((f"{files.MODEL}/", f"{files.ADAPTER}/"))}
    assert named - model == (set(READERS) | set(UNREAD)) - {name for name in READERS if "/" in name}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a finished run with checksums, and of one that an earlier version of blurr left."""
    made = tmp_path_factory.mktemp("runs")
    words = ["data.rows=40", "loader.batch_size=8", "schedule.epochs=1", "checkpoint.every_steps=2", "tracking=none"]
    running.run(made / "new", *words, *running.TINY_BERT)
    (step,) = (made / "new" / files.CHECKPOINTS).glob(files.CHECKPOINT)
    assert step.name == "step-00000004"
    shutil.copytree(OLD / "finished", made / "old")
    shutil.copytree(OLD / "unfinished" / files.CHECKPOINTS, made / "old" / files.CHECKPOINTS)
    for folder in (made / "new", made / "old"):
        shutil.copy(folder / files.TABLES["valid"], folder / files.TABLES["test"])
        if not (folder / files.DIFF).exists():
            (folder / files.DIFF).write_text("+ a line\n")
    return made


@pytest.fixture
def place(runs: Path, tmp_path: Path, monkeypatch) -> Callable[[str], Path]:
    """Copy one of those runs, with another beside it."""
    monkeypatch.chdir(tmp_path)

    def copied(kind: str) -> Path:
        shutil.copytree(runs / kind, tmp_path / "outputs" / "other")
        return shutil.copytree(runs / kind, tmp_path / "outputs" / "run")

    return copied


def try_all(file: Path, read: Callable[[], Any], examples: int, *, is_sealed: bool) -> None:
    whole, before = file.read_bytes(), answered(read)
    suffix = file.suffix

    @settings(
        max_examples=examples,
        derandomize=examples == FAST,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(spoiled(whole, suffix))
    def attempt(data: bytes) -> None:
        file.write_bytes(data)
        found = answered(read)
        if is_sealed and found is not None:
            assert str(found) == str(before), "it is believed"

    attempt()


# an early blurr wrote neither checksums nor intervals
LATER = (SEAL, files.INTERVALS)
WRITTEN = [(name, "new") for name in READERS] + [(name, "old") for name in READERS if Path(name).name not in LATER]
EXAMPLES = [pytest.param(FAST, id="fast"), pytest.param(LONG, id="long", marks=pytest.mark.slow)]


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize(("name", "kind"), WRITTEN)
def test_a_spoiled_file_of_a_run_is_refused_or_read_as_it_was(place, name: str, kind: str, examples: int):
    folder = place(kind)
    for reader in READERS[name]:
        shutil.copytree(folder, folder.parent / "kept", dirs_exist_ok=True)
        has_sum = name == files.RECORD or name in Journal.read(folder).checksums
        is_sealed = kind == "new" and (has_sum or is_sealed_folder((folder / name).parent))
        try_all(folder / name, lambda: reader(folder), examples, is_sealed=is_sealed)  # noqa: B023
        shutil.rmtree(folder)
        (folder.parent / "kept").rename(folder)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("is_sealed", [True, False], ids=["sealed", "early"])
def test_a_spoiled_ledger_is_refused_or_read_as_it_was(work: Path, is_sealed: bool, examples: int):
    ledger = Ledger(work / "multirun" / "mine") if (work / "multirun" / "mine").mkdir(parents=True) is None else None
    assert ledger is not None
    ledger.begin(name="mine", argv=["-m", "seed=1,2"], words=["seed=1,2"], weights="scratch")
    ledger.begin(fixed=["model=bert"], goals=[("valid/loss", "minimize")])
    ledger.begin(total=3, identity="0a", run=None)
    for number in range(3):
        ledger.propose(number, f"{number}", {"seed": str(number)})
        ledger.start(number)
        ledger.report(number, 1, 0.5)
    ledger.end(0, "finished", values=[0.75], seconds=1.0, cpu=1.0)
    ledger.end(1, "failed", reason="no", details="Traceback")
    file = ledger.folder / files.LEDGER
    if not is_sealed:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        file.write_text(
            "".join(json.dumps({k: v for k, v in line.items() if k not in ("sum", "sealed")}) + "\n" for line in lines)
        )
    try_all(file, lambda: of_sweep(ledger.folder), examples, is_sealed=False)
