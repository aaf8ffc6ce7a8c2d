"""`blurr predict`, `evaluate`, `serve`, `export` and `push`: what a trained model is for."""

import argparse
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from blurr.errors import InputError, how_to_install
from blurr.process import signals
from blurr.process.arguments import Commands, Parser, add_trust
from blurr.process.imports import import_libraries
from blurr.process.listening import address_of, bind
from blurr.process.next_steps import command, show_next, try_it
from blurr.process.terminal import rest

WHERE = "the folder of a run, the id of an MLflow run, models:/<name>@<alias>, or any checkpoint's folder or Hub id"
UNTRAINED = "for a checkpoint that blurr did not train: its task and settings, e.g. task=summarization"
FORMATS = ("onnx", "transformers", "fastai")
PRECISIONS = ("fp32", "bf16", "fp16", "auto")
QUOTES = ("auto", "fields", "text")
TOKEN = "BLURR_TOKEN"  # in the environment
HOSTS = "names to answer under, or * (default: localhost and --host; any, if that is a wildcard such as 0.0.0.0)"
BATCH = "rows (default: 32; of texts on a CPU, as many as make 2048 tokens)"
BYTES = "size of a request (default: 1,000,000; where the model reads files, 32,000,000)"
STDIN = "-"
SOME_FAILED = 1  # exit code
PART = "to use a trained model"


def add_serving(commands: Commands) -> None:
    """Add the commands that use a model to those of `blurr`."""
    _add_predict(commands)
    _add_evaluate(commands)
    _add_serve(commands)
    _add_export(commands)
    _add_push(commands)


def _add_predict(commands: Commands) -> None:
    predict = commands.add(
        "predict",
        "predict on a text, on pictures, or on the rows of a file: csv, tsv, jsonl, parquet …",
        _predict,
        about="Rows of a file keep their columns and get a prediction; one that cannot be predicted on gets an error.",
        examples=[
            "blurr predict outputs/mine --text 'a film to remember'",
            "blurr predict outputs/qa --text 'question=Who came?' --text 'context=Ann came.'",
            "blurr predict outputs/mine --input reviews.csv --output predictions.csv",
            "blurr predict outputs/photos --input folder --output labels.csv",
            "cat texts.txt | blurr predict outputs/mine - > predictions.jsonl",
        ],
        part=PART,
    )
    _add_model(predict)
    _add_device(predict)
    add = predict.add_argument
    said = "a text to predict on; ROLE=TEXT where the model reads several, once for each; the answer goes to stdout"
    add("--text", metavar="TEXT", action="append", default=[], help=said)
    said = (
        "the file with the rows, a picture, a folder of either, a pattern in quotes, or - for stdin: JSON lines, or a "
        "text on each line"
    )
    add("--input", metavar="FILE", help=said)
    said = "the file to write; its suffix says the format (default: JSON lines on stdout)"
    add("--output", metavar="FILE", type=Path, help=said)
    said = "which column has what the model reads, e.g. text=review (default: the column of training)"
    add("--column", action="append", default=[], metavar="ROLE=COLUMN", help=said)
    add("--format", default="auto", help="e.g. lines for a text of lines (default: by its extension)")
    add("--encoding", default="utf-8-sig", help="of text files, e.g. cp1252 (default: UTF-8)")
    add("--delimiter", help="between columns (default: what the header shows)")
    add("--quotes", choices=QUOTES, default="auto", help="whether they enclose cells or are text")
    add("--sheet", default="0", help="number, from 0, or name of the sheet of an xlsx file")
    said = "write an apostrophe before texts that a spreadsheet would take for formulas (csv, tsv, xlsx)"
    add("--escape-formulas", action="store_true", help=said)
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="how to predict, e.g. num_beams=4")


def _add_evaluate(commands: Commands) -> None:
    evaluate = commands.add(
        "evaluate",
        "score a trained model on other data, by its run's metrics",
        _evaluate,
        examples=["blurr evaluate outputs/mine data=files data.test=new.csv"],
        part=PART,
    )
    said = f"as for `blurr run`, e.g. data=files data.test=new.csv; {UNTRAINED}"
    _add_model(evaluate, needed=said)
    _add_device(evaluate)
    evaluate.add_argument("--split", help="the split to score (default: test if there is one, else valid)")
    said = "the folder for scores and predictions (default: a new one in outputs/evaluations)"
    evaluate.add_argument("--output", metavar="FOLDER", type=Path, help=said)


def _add_serve(commands: Commands) -> None:
    serve = commands.add(
        "serve",
        "answer requests with a trained model, over HTTP",
        _serve,
        about="There is a page to try it, too. It listens to this machine alone until --host says otherwise.",
        examples=["blurr serve outputs/mine --port 8000"],
        part=PART,
    )
    _add_model(serve)
    _add_device(serve)
    serve.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    serve.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    serve.add_argument("--timeout", metavar="SECONDS", type=float, default=30.0, help="for a request")
    serve.add_argument("--allowed-hosts", metavar="A,B", help=HOSTS)
    serve.add_argument("--token", help=f"what requests must present; better in the environment, as {TOKEN}")
    serve.add_argument("--log", action="store_true", help="write a line for each request")
    serve.add_argument("--max-bytes", metavar="N", type=int, help=BYTES)


def _add_export(commands: Commands) -> None:
    export = commands.add(
        "export",
        "write a trained model for others to run: ONNX, transformers, fastai",
        _export,
        examples=["blurr export outputs/mine --output onnx/mine --quantize"],
        part=PART,
    )
    _add_model(export)
    export.add_argument("--format", choices=FORMATS, default="onnx", help="of the export")
    export.add_argument("--output", metavar="FOLDER", type=Path, required=True, help="a new folder")
    export.add_argument("--quantize", action="store_true", help="8-bit weights and arithmetic, for onnx")


def _add_push(commands: Commands) -> None:
    push = commands.add(
        "push",
        "upload a trained model with its card to the Hugging Face Hub",
        _push,
        about="The token is that of HF_TOKEN or `hf auth login`.",
        examples=["blurr push outputs/mine me/reviews --private"],
        part=PART,
    )
    push.add_argument("where", metavar="MODEL", help=f"{WHERE}, or the folder of an export")
    push.add_argument("repo", metavar="REPO", help="owner/name; it is created if it does not exist")
    push.add_argument("--private", action="store_true", help="let nobody else see it")
    push.add_argument("--revision", help="the branch (default: the main one)")
    push.add_argument("--message", help="the commit's message (default: one that names blurr)")


def _add_device(parser: Parser) -> None:
    """Add what decides where and how a model computes."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps (default: an accelerator, else cpu)")
    said = "fp32, bf16, fp16; auto: bf16 where it is faster and answers alike (default: that of the weights, fp32)"
    parser.add_argument("--precision", choices=PRECISIONS, help=said)
    said = "int8: 8-bit weights and arithmetic by ONNX Runtime, on the CPU; says how many answers stay as they were"
    parser.add_argument("--quantize", choices=("int8",), help=said)


def _add_model(parser: Parser, *, needed: str = "") -> None:
    """Add what all have that load a model; `needed` is the help of its overrides if it does not work without any."""
    parser.add_argument("where", metavar="MODEL", help=WHERE)
    parser.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="+" if needed else "*", default=[], help=needed or UNTRAINED
    )
    add_trust(parser)
    parser.add_argument("--batch-size", metavar="N", type=int, help=BATCH)


def _predict(arguments: argparse.Namespace) -> int:
    _check_source(arguments)
    predictor = _lowered(arguments)

    from blurr.data.formats.content import FileOptions
    from blurr.serve.files import predict_file
    from blurr.serve.typed import input_file, output_file, predict_texts

    reading = FileOptions(
        format=arguments.format,
        encoding=arguments.encoding,
        delimiter=arguments.delimiter,
        quotes=arguments.quotes,
        sheet=int(arguments.sheet) if arguments.sheet.isdecimal() else arguments.sheet,
    )
    columns, options = (
        pairs("--column", arguments.column),
        typed(pairs("--option", arguments.option), predictor.options),
    )
    if arguments.text:
        failed = predict_texts(predictor, arguments.text, options)
        show_next({"serve": command("serve", arguments.where)} if sys.stdout.isatty() else {})
        return SOME_FAILED if failed else 0
    with (
        signals.handled(),
        input_file(arguments.input, reading, columns, predictor) as (source, how, found),
        output_file(arguments.output) as target,
    ):
        escape = arguments.escape_formulas
        tally = predict_file(
            predictor, source, target, columns=found, options=options, reading=how, escape_formulas=escape
        )
    return _said(arguments, tally)


def _said(arguments: argparse.Namespace, tally: Any) -> int:
    """Say on stderr how many rows have a prediction, and return the exit code."""
    for row, reason in tally.named.items():
        sys.stderr.write(f"row {row}: {reason}\n")
    failed = f", {tally.failed:,} of them without a prediction (see the column error)" if tally.failed else ""
    sys.stderr.write(f"{tally.rows:,} rows in {tally.seconds:.1f} s{failed}: {arguments.output or 'stdout'}\n")
    if arguments.input != STDIN and not arguments.overrides:
        score = command("evaluate", arguments.where, "data=files", f"data.test={arguments.input}")
        show_next({"score, if it has labels": score, "serve": command("serve", arguments.where)})
    return SOME_FAILED if tally.failed else 0


def _check_source(arguments: argparse.Namespace) -> None:
    """Take a lone `-` for `--input -`, and make sure that there is one source of rows, before a model is loaded."""
    if STDIN in arguments.overrides and not arguments.text:
        arguments.overrides.remove(STDIN)
        arguments.input = arguments.input or STDIN
    if bool(arguments.text) == bool(arguments.input):
        raise InputError(
            "blurr predict reads either --text or --input: --text 'a text', --input FILE, or - for what is piped in."
        )
    if arguments.text and arguments.output:
        raise InputError("--text answers on stdout. Leave out --output, or redirect it: > answers.jsonl")


def _evaluate(arguments: argparse.Namespace) -> int:
    predictor = _lowered(arguments)

    from blurr.metrics.outcome import Outcome
    from blurr.process.terminal import terminal
    from blurr.runs.folder import holds_run
    from blurr.serve.evaluating import evaluate, write
    from blurr.tracking.summary import table_of_scores

    folder = arguments.output or Path("outputs", "evaluations", f"{datetime.now():%Y-%m-%d_%H-%M-%S}")
    if holds_run(folder):
        raise InputError(f"--output {folder} holds a run, whose scores and predictions stay. Name another folder.")
    split, evaluation = evaluate(predictor, arguments.overrides, split=arguments.split, trusted=arguments.trust)
    write(folder, split, evaluation, predictor.saved.task.target.text_reports(evaluation.rows))
    console, outcome = terminal(), Outcome()
    outcome.add(split, evaluation)
    console.print(table_of_scores(outcome.scores, outcome.notes, outcome.intervals))
    for label, text in {**outcome.lines(), "outputs": str(folder)}.items():
        console.print(f"\n{label}  {text}", soft_wrap=True)
    model = [arguments.where, *(word for word in arguments.overrides if word.startswith("task="))]
    show_next({"all runs": command("leaderboard"), "serve": command("serve", *model)})
    return 0


def _serve(arguments: argparse.Namespace) -> int:
    missing = [
        name for name in ("fastapi", "uvicorn", "prometheus_client", "python_multipart") if find_spec(name) is None
    ]
    if missing:
        raise InputError(f"blurr serve needs {', '.join(missing)}. Install them: {how_to_install('serve')}")
    if not 0 < arguments.timeout < inf or (arguments.max_bytes is not None and arguments.max_bytes <= 0):
        raise InputError("--timeout and --max-bytes must be above 0, else no request is answered.")
    with bind(arguments.host, arguments.port) as listening:  # before the model is loaded, which takes long
        _answer_requests(arguments, listening, _limits(arguments, listening.getsockname()[0]))
    return 0


def _limits(arguments: argparse.Namespace, address: str) -> Any:
    from blurr.serve.admission import Limits, allowed_hosts, checked_token

    given, source = (arguments.token, "--token") if arguments.token is not None else (os.environ.get(TOKEN), TOKEN)
    return Limits(
        seconds=arguments.timeout,
        bytes=arguments.max_bytes,
        hosts=allowed_hosts(arguments.allowed_hosts, arguments.host, address),
        token=checked_token(given, source),
    )


def _answer_requests(arguments: argparse.Namespace, listening: socket.socket, limits: Any) -> None:
    predictor = _lowered(arguments)

    from blurr.serve.app import make_app
    from blurr.serve.connections import Logged, run

    predictor.predict_each([predictor.example])  # the first batch takes longest: no user should wait for that
    rest()
    app = make_app(predictor, limits)
    address = address_of(listening, arguments.host)
    lines = [f"{address}       a page to try it", f"{address}/docs  how to call it", "ready; Ctrl-C ends it"]
    with suppress(KeyboardInterrupt):  # which is how it is stopped
        run(Logged(app) if arguments.log else app, listening, limits, started=lambda: _say(lines))


def _say(lines: Sequence[str]) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))
    sys.stderr.flush()


def _export(arguments: argparse.Namespace) -> int:
    predictor = _predictor(arguments, device="cpu")

    from blurr.process.terminal import terminal
    from blurr.serve.exporting import export
    from blurr.serve.parity import parity

    with signals.handled():
        export(predictor, arguments.output, form=arguments.format, quantize=arguments.quantize)
    if arguments.format == "onnx":
        terminal().print(str(parity(predictor, type(predictor).load(arguments.output, trusted=arguments.trust))))
    terminal().print(f"outputs  {arguments.output}", soft_wrap=True)
    if arguments.format == "onnx":
        show_next(try_it(arguments.output, predictor.saved.task.schema.needed, files=bool(predictor.media)))
    else:
        show_next({"push": command("push", arguments.output, "OWNER/NAME", "--private")})
    return 0


def _push(arguments: argparse.Namespace) -> int:
    from blurr.config import composing

    composing.prepare_process()

    from blurr.process.terminal import terminal
    from blurr.serve.model_folder import model_folder
    from blurr.serve.pushing import push

    options = {name: getattr(arguments, name) for name in ("private", "revision", "message")}
    terminal().print(push(model_folder(arguments.where), arguments.repo, **options), soft_wrap=True)
    show_next({"evaluate": command("evaluate", arguments.where, "data=files", "data.test=new.csv")})
    return 0


def _lowered(arguments: argparse.Namespace) -> Any:
    """Load the model that a command names in the precision that it asks for, and say what was chosen."""
    options = _options(arguments, arguments.device)

    from blurr.serve.lowering import load_lowered

    with signals.handled():  # a folder of graphs is removed
        made, said = load_lowered(
            arguments.where, precision=arguments.precision, quantize=arguments.quantize, **options
        )
    if said:
        _say([said])
    return made


def _predictor(arguments: argparse.Namespace, device: str) -> Any:
    """Load the model that a command names, as it is stored."""
    options = _options(arguments, device)

    from blurr.serve.predictor import Predictor

    return Predictor.load(arguments.where, **options)


def _options(arguments: argparse.Namespace, device: str) -> dict[str, Any]:
    """Prepare the process for a model, and return the options of `Predictor.load`."""
    if arguments.batch_size is not None and arguments.batch_size < 1:
        raise InputError(f"--batch-size {arguments.batch_size}: a batch has at least one row.")
    from blurr.config import composing
    from blurr.process import setup

    composing.prepare_process()
    import_libraries()

    from datasets.utils import logging as datasets_logging
    from transformers.utils import logging as transformers_logging

    from blurr.serve.model_folder import is_model_folder

    datasets_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    setup.collect_as_usual()
    if arguments.command is not _evaluate and arguments.overrides and is_model_folder(arguments.where):
        raise InputError(
            f"{arguments.where} is the model of a run, which knows its task and its settings. Leave out "
            f"{' '.join(arguments.overrides)}."
        )
    options = {"batch_size": arguments.batch_size, "device": device, "trusted": arguments.trust}
    return {**options, "words": arguments.overrides}


def pairs(flag: str, given: Sequence[str]) -> dict[str, str]:
    """Read the values of a flag that have the form `name=value`.

    Raises:
        InputError: a value has no `=`.
    """
    for each in given:
        if "=" not in each:
            raise InputError(f"{flag} {each}: give a name and a value, as in {flag} name=value.")
    return dict(each.split("=", 1) for each in given)


def typed(values: Mapping[str, str], types: Mapping[str, type]) -> dict[str, Any]:
    """Convert values to the types of their names; one without a type stays text, for others to refuse.

    Raises:
        InputError: a value is not of its type.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    read: dict[str, Any] = {}
    finite = ConfigDict(allow_inf_nan=False)
    for name, value in values.items():
        try:
            read[name] = TypeAdapter(types.get(name, str), config=finite).validate_strings(value)
        except ValidationError as error:
            raise InputError(f"--option {name}={value}: must be of type {types[name].__name__}.") from error
    return read
