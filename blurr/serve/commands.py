"""`blurr predict`, `evaluate`, `serve`, `export` and `push`: what a trained model is for."""

from pathlib import Path

from blurr.process.arguments import Commands, Parser, add_trust
from blurr.serve.handlers import TOKEN, do_evaluate, do_export, do_predict, do_push, do_serve

WHERE = "the folder of a run, the id of an MLflow run, models:/<name>@<alias>, or any checkpoint's folder or Hub id"
UNTRAINED = "for a checkpoint that blurr did not train: its task and settings, e.g. task=summarization"
FORMATS = ("onnx", "transformers", "fastai")
PRECISIONS = ("fp32", "bf16", "fp16", "auto")
QUOTES = ("auto", "fields", "text")
HOSTS = "names to answer under, or * (default: localhost and --host; any, if that is a wildcard such as 0.0.0.0)"
BATCH = "rows (default: 32; of texts on a CPU, as many as make 2048 tokens)"
BYTES = "size of a request (default: 1,000,000; where the model reads files, 32,000,000)"
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
        do_predict,
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
        do_evaluate,
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
        do_serve,
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
        do_export,
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
        do_push,
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
