"""What `blurr predict`, `evaluate`, `serve`, `export` and `push` do; libraries are loaded once the words are right."""

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
from blurr.process.imports import import_libraries
from blurr.process.listening import address_of, bind
from blurr.process.next_steps import command, show_next, try_it
from blurr.process.terminal import rest

TOKEN = "BLURR_TOKEN"  # in the environment
STDIN = "-"
SOME_FAILED = 1  # exit code


def do_predict(arguments: argparse.Namespace) -> int:
    """Predict on a text or on the rows of a file, and return the exit code."""
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
    rows = f"{tally.rows:,} {'row' if tally.rows == 1 else 'rows'}"
    sys.stderr.write(f"{rows} in {tally.seconds:.1f} s{failed}: {arguments.output or 'stdout'}\n")
    if tally.lines > 1:
        sys.stderr.write(f"{arguments.input} was read as one text. --format lines reads its {tally.lines:,} lines.\n")
    if arguments.input != STDIN and not arguments.overrides:
        score = command("evaluate", arguments.where, "data=files", f"data.test={arguments.input}")
        first = {"score it": score} if tally.can_be_scored else {}
        show_next({**first, "serve": command("serve", arguments.where)})
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


def do_evaluate(arguments: argparse.Namespace) -> int:
    """Score a model on other data, write and show what came of it, and return the exit code."""
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


def do_serve(arguments: argparse.Namespace) -> int:
    """Answer requests until Ctrl-C, and return the exit code."""
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


def do_export(arguments: argparse.Namespace) -> int:
    """Write a model for others to run, and return the exit code."""
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
        show_next(try_it(arguments.output, predictor.saved.needed, files=bool(predictor.media)))
    else:
        show_next({"push": command("push", arguments.output, "OWNER/NAME", "--private")})
    return 0


def do_push(arguments: argparse.Namespace) -> int:
    """Upload a model to the Hub, and return the exit code."""
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
    if arguments.command is not do_evaluate and arguments.overrides and is_model_folder(arguments.where):
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
