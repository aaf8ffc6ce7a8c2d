"""Malformed input of every kind: what is given, and what blurr must say to it."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers

from blurr.config import checks, composing, explain
from blurr.data.files import load_files
from blurr.loading.loader import Loader
from blurr.text.objects import get_hf_objects
from blurr.text.question_answering.task import QuestionAnswering
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.text.token_classification.task import TokenClassification

HANDLED = "handled"


@dataclass(frozen=True)
class Case:
    """A malformed input.

    Attributes:
        kind: of input.
        name: what is wrong with it.
        give: hands it to blurr; takes an empty folder to work in, which is the current one.
        says: pattern of the answer, or HANDLED: it is no mistake, and `give` raises where the result is wrong.
    """

    kind: str
    name: str
    give: Callable[[Path], object]
    says: str

    def outcome(self, folder: Path) -> str:
        """Give 'ok', or what went wrong."""
        try:
            self.give(folder)
        except Exception as error:  # noqa: BLE001  # any exception must have an answer
            answer = explain.answer_to(error)
            if answer is None:
                return f"traceback: {type(error).__name__}: {error}"
            message = str(answer)
            return "ok" if self.says != HANDLED and re.search(self.says, message, re.DOTALL) else f"says: {message}"
        return "ok" if self.says == HANDLED else "silent"


# -- configs

NUMBER = {
    "schedule.epochs": "whole number",
    "loader.batch_size": "whole number",
    "loader.num_workers": "whole number",
    "loader.max_tokens": "whole number",
    "seed": "whole number",
    "optimizer.lr": "number above 0",
    "checkpoint.every_steps": "whole number",
    "checkpoint.keep": "whole number",
    "task.max_length": "whole number",
}
CONFIGS = {
    **{f"{key} is a word": ([f"{key}=several"], rf"{key}=several: must be .*{said}") for key, said in NUMBER.items()},
    **{f"{key} is negative": ([f"{key}=-2"], rf"{key}=-2: must be .*{said}") for key, said in NUMBER.items()},
    **{f"{key} is a list": ([f"{key}=[1,x]"], rf"{key}=.*: must be .*{said}") for key, said in NUMBER.items()},
    "a switch is a word": (["loader.bucket=perhaps"], "must be true or false"),
    "a choice there is not": (["precision=fp8"], "precision=fp8: must be 'fp32'"),
    "another choice there is not": (["on_nan=explode"], "on_nan=explode: must be 'stop'"),
    "an option there is not": (["model=brt"], "no such option.*Did you mean 'bert'"),
    "a group there is not": (["modle=bert"], "modle.*Did you mean 'model'"),
    "a key there is not": (["schedule.epoch=1"], r"no 'schedule\.epoch'.*Did you mean 'schedule\.epochs'"),
    "a key forced in": (["+loader.batchsize=1"], "Did you mean 'batch_size'"),
    "a key that is there, added": (["+seed=1"], "is there already"),
    "no value": (["seed"], "not of the form key=value"),
    "an open bracket": (["optimizer.lr=[1"], "cannot be read"),
    "an open quote": (["model.name='x"], "cannot be read"),
    "blanks around =": (["seed =1"], "seed"),
    "a missing interpolation": (["seed=${nowhere}"], "cannot be resolved"),
    "an interpolation of itself": (["seed=${seed}"], "cannot be resolved|[Rr]ecursi"),
    "a cycle of interpolations": (["seed=${loader.seed}"], "cannot be resolved|[Rr]ecursi"),
    "a resolver there is not": (["seed=${nope:1}"], "nope"),
    "an environment variable there is not": (["seed=${oc.env:NO_SUCH_VARIABLE}"], "NO_SUCH_VARIABLE"),
    "a broken interpolation": (["'seed=${'"], "cannot be read|resolved|interpolation|not of the form"),
    "a target there is not": (["schedule._target_=blurr.nowhere.it"], "nowhere"),
    "a target that is a module": (["schedule._target_=blurr.training.schedules"], "is a module"),
    "a target that is no text": (["schedule._target_=3"], "schedule"),
    "a node that is a number": (["schedule=3"], "Config|no such option|schedule"),
    "a required value left out": (["data=files"], r"data\.train must be given"),
    "a file that is not there": (["data=files", "data.train=none.csv"], "there is no such file"),
    "a metric of another task": (["metrics=[seqeval]"], "compares .*These fit"),
    "an objective that is a number": (["objective=3"], "objective=3: must be text"),
    "a model that cannot do the task": (["task=summarization", "model=bert"], "cannot do that"),
    "a setting of generation there is not": (["task=summarization", "+task.generation.num_beems=2"], "num_beams"),
    "two learning rates of which one is a word": (["optimizer.lr=[1e-4,fast]"], r"optimizer\.lr"),
    "not a number as learning rate": (["optimizer.lr=nan"], r"optimizer\.lr"),
    "an infinite learning rate": (["optimizer.lr=inf"], r"optimizer\.lr"),
    "weight decay that is a word": (["optimizer.weight_decay=much"], "must be a number of at least 0"),
    "weight decay that is a list": (["optimizer.weight_decay=[1]"], "must be a number of at least 0"),
    "weight decay of another optimizer": (["optimizer=lamb", "optimizer.wd=-1"], "must be a number of at least 0"),
    "momentum that is a word": (["optimizer=sgd", "optimizer.momentum=x"], "must be a number"),
    "one beta": (["optimizer.betas=[0.9]"], "must be a list of 2"),
    **{
        f"no {key}": ([f"~{key}"], f"^{key}=None: every run needs this")
        for key in ("schedule", "model", "optimizer", "loader", "tracking", "checkpoint")
    },
    "no data": (["~data"], "^data=.*every run needs this.*Choose one: data=… of .*files"),
    "no objective": (["~objective"], "objective was taken out of the config"),
    "no target": (["~schedule._target_"], "^schedule=.*every run needs this, with a _target_"),
    "null in place of a group": (["loader=null"], "^loader=None: every run needs this"),
}
FILES = {
    "tabs": "_target_: x\n\tname: y\n",
    "an open list": "_target_: [1\n",
    "a colon too many": "a: b: c\n",
    "a key twice": "name: a\nname: b\n",
    "a list at the top": "- a\n- b\n",
    "bytes that are no text": b"\xff\xfe\x00\x80name: x",
    "a NUL byte": b"name: \x00x\n",
    "an anchor there is not": "name: *nowhere\n",
    "words alone": "just some words\n",
    "words and a comment": "# name: x\njust some words\n",
    "a number alone": "3\n",
    "nothing": "",
    "brackets without end": "name: " + "[" * 5000 + "\n",
    "itself": "defaults:\n  - mine\nname: x\n",
    "a python object": "name: !!python/object/apply:os.system ['true']\n",
    "a broken interpolation": "_target_: blurr.models.objects.build_model\nname: ${nowhere.at.all}\n",
}


def composed(*words: str) -> None:
    checks.check(composing.compose(list(words)))


def _option(content: str | bytes) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        (folder / "model").mkdir()
        data = content if isinstance(content, bytes) else content.encode()
        (folder / "model" / "mine.yaml").write_bytes(data)
        composed("model=mine")

    return give


def configs() -> Iterator[Case]:
    for name, (words, says) in CONFIGS.items():
        yield Case("config", name, lambda _, words=words: composed(*words), says)  # type: ignore[misc]
    for name, content in FILES.items():
        yield Case("config file", name, _option(content), "mine|YAML|model")


# -- data

CSV = "text,label\n"
ROWS = "".join(f"a text {i},{'ab'[i % 2]}\n" for i in range(10))
# name: (file, content, options, answer)
TABLES: dict[str, tuple[str, str | bytes, dict[str, Any], str]] = {
    "empty": ("r.csv", "", {}, "is empty"),
    "only a header": ("r.csv", CSV, {}, "no rows"),
    "only blanks": ("r.csv", "   \n\n", {}, "r.csv"),
    "latin-1 as utf-8": (
        "r.csv",
        (CSV + "Käse,a\n" + ROWS).encode("latin-1"),
        {},
        "not encoded in utf-8.*data.encoding",
    ),
    "utf-16 as utf-8": ("r.csv", (CSV + ROWS).encode("utf-16"), {}, "not encoded in utf-8|NUL|separated"),
    "utf-8 as ascii": ("r.csv", CSV + "Käse,a\n", {"encoding": "ascii"}, "not encoded in ascii"),
    "an encoding there is not": ("r.csv", CSV + ROWS, {"encoding": "utf-9"}, "not an encoding"),
    "a byte order mark": ("r.csv", b"\xef\xbb\xbf" + (CSV + ROWS).encode(), {}, HANDLED),
    "windows line ends": ("r.csv", (CSV + ROWS).replace("\n", "\r\n"), {}, HANDLED),
    "no line end at the end": ("r.csv", (CSV + ROWS).rstrip(), {}, HANDLED),
    "quotes within a field": ("r.csv", CSV + '"she said ""no""",a\n' + ROWS, {}, HANDLED),
    "line ends within a field": ("r.csv", CSV + '"two\nlines",a\n' + ROWS, {}, HANDLED),
    "right to left and emoji": ("r.csv", CSV + "שלום 👋,a\n" + ROWS, {}, HANDLED),
    "a row with a field too many": ("r.csv", CSV + "x,a,more\n" + ROWS, {}, "Line 2 has 3 cells"),
    "a row with a field too few": ("r.csv", CSV + "x\n" + ROWS, {}, "Line 2 has 1 cells"),
    "a quote that is never closed": ("r.csv", CSV + '"x,a\n' + ROWS, {}, "not a table|r.csv"),
    "another delimiter": ("r.csv", (CSV + ROWS).replace(",", "~"), {}, "text|columns"),
    "a delimiter of two signs": ("r.csv", CSV + ROWS, {"delimiter": "::"}, "delimiter"),
    "a column twice": ("r.csv", "text,text,label\n" + "x,y,a\n" * 9, {}, "several columns named 'text'"),
    "no column of that name": ("r.csv", "txt,label\n" + ROWS, {}, "text"),
    "no label column": ("r.csv", "text\n" + "x\n" * 9, {}, "label"),
    "a role there is not": ("r.csv", CSV + ROWS, {"columns": {"txet": "text"}}, "Did you mean 'text'"),
    "a column for two roles": ("r.csv", CSV + ROWS, {"columns": {"label": "text"}}, "both name the column"),
    "a list for a text": ("r.csv", CSV + ROWS, {"columns": {"text": ["text", "label"]}}, "is a list"),
    "a label left empty": ("r.csv", CSV + "x,\n" + ROWS, {}, "no value for 'label'"),
    "one label only": ("r.csv", CSV + "".join(f"x{i},a\n" for i in range(10)), {}, HANDLED),
    "an empty text": ("r.csv", CSV + ",a\n" + ROWS, {}, HANDLED),
    "one row": ("r.csv", CSV + "x,a\n", {}, "leaves none"),
    "a huge field": ("r.csv", CSV + "x" * 300_000 + ",a\n" + ROWS, {}, HANDLED),
    "a NUL byte in a field": ("r.csv", CSV.encode() + b"x\x00y,a\n" + ROWS.encode(), {}, HANDLED),
    "an extension there is not": ("r.cvs", CSV + ROWS, {}, "Did you mean '.csv'"),
    "no extension": ("rows", CSV + ROWS, {}, "no known format"),
    "json that is cut off": ("r.json", '[{"text": "x", "label"', {}, "is not JSON"),
    "json that is a number": ("r.json", "3", {}, "r.json"),
    "json that is null": ("r.json", "null", {}, "r.json"),
    "json of lists": ("r.json", "[[1, 2]]", {}, "must be an object"),
    "json with mixed types": (
        "r.json",
        '[{"text": "x", "label": 1}, {"text": "y", "label": [1]}]',
        {},
        "several types",
    ),
    "json with NaN as a label": (
        "r.json",
        '[{"text": "x", "label": NaN}, {"text": "y", "label": 1}]',
        {},
        "label|r.json",
    ),
    "an empty list": ("r.json", "[]", {}, "no rows|r.json"),
    "deeply nested json": ("r.json", "[" * 100_000, {}, "is not JSON|r.json"),
    "jsonl with a broken line": ("r.jsonl", '{"text": "x", "label": "a"}\n{"text"\n', {}, "Line 2 is not JSON"),
    "jsonl of objects over lines": ("r.jsonl", '{"text": "x",\n "label": "a"}', {}, "Line 1 is not JSON"),
    "jsonl of numbers": ("r.jsonl", "1\n2\n", {}, "must be an object"),
    "jsonl with a text that is a number": ("r.jsonl", '{"text": 3, "label": "a"}\n' * 9, {}, "no texts for .*int64"),
    "jsonl with a text that is a list": ("r.jsonl", '{"text": ["x"], "label": "a"}\n' * 9, {}, "no texts for .*List"),
    "jsonl with an object as text": ("r.jsonl", '{"text": {"x": 1}, "label": "a"}\n' * 9, {}, "no texts.*dict"),
    "deeply nested jsonl": ("r.jsonl", '{"text": ' + "[" * 100_000, {}, "Line 1 is not a row: it is nested too deeply"),
    "jsonl with a text that is null": ("r.jsonl", '{"text": null, "label": "a"}\n' * 9, {}, "text"),
    "jsonl with lone surrogates": ("r.jsonl", '{"text": "\\ud800", "label": "a"}\n' * 9, {}, "r.jsonl"),
    "parquet that is text": ("r.parquet", CSV + ROWS, {}, "not a parquet file"),
    "parquet that is cut off": ("r.parquet", b"PAR1" + bytes(20), {}, "not a parquet file"),
    "excel that is text": ("r.xlsx", CSV + ROWS, {}, "cannot be read as an Excel file"),
    "excel that is another archive": ("r.xlsx", b"PK\x05\x06" + bytes(18), {}, "cannot be read as an Excel file"),
    "a split column with a word": ("r.csv", "text,label,is_valid\n" + "x,a,perhaps\n" * 4, {}, "true or false"),
}
MORE_TABLES: dict[str, tuple[str, str, str, str]] = {
    # name: (task, file, content, answer)
    "conll without tags": ("words", "r.conll", "John\nlives\n", "no tags"),
    "conll with ragged lines": ("words", "r.conll", "John B-PER\nlives O x\n", "fields in line"),
    "conll of blank lines": ("words", "r.conll", "\n\n\n", "r.conll"),
    "more tags than words": ("words", "r.jsonl", '{"tokens": ["a"], "labels": ["O", "O"]}\n' * 9, "tokens|labels"),
    "fewer tags than words": ("words", "r.jsonl", '{"tokens": ["a", "b"], "labels": ["O"]}\n' * 9, "tokens|labels"),
    "tags that are a text": ("words", "r.jsonl", '{"tokens": ["a"], "labels": "O"}\n' * 9, "labels"),
    "words that are a text": ("words", "r.jsonl", '{"tokens": "a", "labels": ["O"]}\n' * 9, "no lists of words"),
    "no words": ("words", "r.jsonl", '{"tokens": [], "labels": []}\n' * 9, "leaves none"),
    "a tag that is null": ("words", "r.jsonl", '{"tokens": ["a"], "labels": [null]}\n' * 9, "a label that is null"),
    "an answer that is not in the text": ("questions", "r.jsonl", "{CONTEXT, answers: nowhere}", "answer"),
    "an offset beyond the text": ("questions", "r.jsonl", "{CONTEXT, answer_start: 99}", "answer"),
    "a negative offset": ("questions", "r.jsonl", "{CONTEXT, answer_start: -5}", "answer"),
    "an offset of other words": ("questions", "r.jsonl", "{CONTEXT, answer_start: 1}", "answer"),
    "squad json without data": ("questions", "r.json", '{"version": "2.0"}', "r.json|data"),
    "squad json without paragraphs": ("questions", "r.json", '{"data": [{"title": "x"}]}', "paragraphs|r.json"),
    "a summary that is null": ("summaries", "r.jsonl", '{"text": "a", "summary": null}\n' * 9, "summary"),
    "a summary that is a number": ("summaries", "r.jsonl", '{"text": "a", "summary": 3}\n' * 9, "no texts for 'summ"),
    "a summary that is a list": ("summaries", "r.jsonl", '{"text": "a", "summary": ["b"]}\n' * 9, "no texts for"),
    "no summary": ("summaries", "r.jsonl", '{"text": "a"}\n' * 9, "summary"),
}
TASKS = {"words": TokenClassification, "questions": QuestionAnswering, "summaries": Summarization}
ANSWERED = {"question": "Who?", "context": "It was Ann.", "answers": {"text": ["Ann"], "answer_start": [7]}}


def _read(
    task: Any, file: str, content: str | bytes, options: dict[str, Any], good: Path | None = None
) -> Callable[[Path], None]:
    def give(folder: Path) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        # rows that are alike would go to one split together
        (folder / file).write_bytes(_numbered(data) if file.endswith("jsonl") else data)
        rows = task.prepare(load_files(task.schema, train=str(folder / file), **options))
        if good:
            hf = get_hf_objects(
                good, getattr(transformers, task.model_cls), config_kwargs=task.target.model_config(rows)
            )
            task.dataloaders(rows, hf, Loader(batch_size=2, cache=False))
        for name in rows.splits:
            if not rows.splits[name].num_rows:
                raise AssertionError(f"{name} is empty")

    return give


def _numbered(lines: bytes) -> bytes:
    return b"\n".join(
        line.replace(b'"Who?"', b'"Who %d?"' % number).replace(b'"a"', b'"a%d"' % number, 1)
        for number, line in enumerate(lines.split(b"\n"))
    )


def _questions(content: str) -> str:
    """Write a SQuAD row of which the part that `content` names is wrong."""
    key, _, value = content.strip("{}").partition(", ")[2].partition(": ")
    answers = {**ANSWERED["answers"], {"answers": "text"}.get(key, key): [value if key == "answers" else int(value)]}
    return (json.dumps({**ANSWERED, "answers": answers}) + "\n") * 9


def data(good: Path) -> Iterator[Case]:
    """Write files of rows that are not as they should be.

    Args:
        good: the folder of a checkpoint.
    """
    for name, (file, content, options, says) in TABLES.items():
        yield Case("table", name, _read(SequenceClassification(), file, content, options), says)
    for name, (task, file, text, says) in MORE_TABLES.items():
        written = _questions(text) if "CONTEXT" in text else text
        yield Case(task, name, _read(TASKS[task](), file, written, {}, good), says)


# -- checkpoints

# name: (file, content: None deletes, answer)
CHECKPOINTS: dict[str, tuple[str, str | bytes | None]] = {
    "no config": ("config.json", None),
    "an empty config": ("config.json", ""),
    "a config that is cut off": ("config.json", '{"model_type": "be'),
    "a config that is a list": ("config.json", "[]"),
    "a config without a model type": ("config.json", "{}"),
    "a model type there is not": ("config.json", '{"model_type": "brt"}'),
    "another architecture": ("config.json", '{"model_type": "t5", "vocab_size": 10}'),
    "a size that is a word": ("config.json", '{"model_type": "bert", "hidden_size": "large"}'),
    "heads that do not divide": ("config.json", '{"model_type": "bert", "hidden_size": 10, "num_attention_heads": 3}'),
    "no weights": ("model.safetensors", None),
    "empty weights": ("model.safetensors", ""),
    "weights that are cut off": ("model.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{"),
    "weights that are text": ("model.safetensors", "weights"),
    "weights with a huge header": ("model.safetensors", b"\xff" * 8 + b"{}"),
    "no tokenizer": ("tokenizer.json", None),
    "a tokenizer that is cut off": ("tokenizer.json", '{"version": "1.0"'),
    "a tokenizer that is a list": ("tokenizer.json", "[]"),
    "a tokenizer's settings that are cut off": ("tokenizer_config.json", "{"),
}


def checkpoints(good: Path) -> Iterator[Case]:
    """Spoil copies of a good checkpoint.

    Args:
        good: the folder of one.
    """

    def spoiled(file: str, content: str | bytes | None) -> Callable[[Path], None]:
        def give(folder: Path) -> None:
            copy = shutil.copytree(good, folder / "checkpoint")
            if content is None:
                (copy / file).unlink()
            else:
                (copy / file).write_bytes(content if isinstance(content, bytes) else content.encode())
            load(copy)

        return give

    for name, (file, content) in CHECKPOINTS.items():
        yield Case("checkpoint", name, spoiled(file, content), "Cannot load a model from|config.json is not")
    yield Case("checkpoint", "a folder that is not there", lambda folder: load(folder / "none"), "Cannot load")
    yield Case("checkpoint", "a file in place of a folder", lambda folder: load(good / "config.json"), "Cannot load")


def load(folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    get_hf_objects(folder, AutoModelForSequenceClassification)
