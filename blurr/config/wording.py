"""Say keys of the configuration by the arguments of a notebook: `text_attr=`, not `data.columns.text=`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from blurr.errors import InputError

ATTRS = {  # role to the argument of `from_data` that names its column
    **{"text": "text_attr", "label": "label_attr", "tokens": "tokens_attr", "labels": "token_labels_attr"},
    **{"question": "question_attr", "context": "context_attr", "answers": "answers_attr"},
    **{"answer_start": "answer_start_attr", "summary": "summary_attr"},
    **{"source": "src_lang_attr", "target": "trg_lang_attr", "text_pair": "text_attr", "weight": "weight_attr"},
}
WORDS = {  # keys of the task, the model and the data with an argument of another name
    "task.loss": "loss_func",
    "task.src_lang": "src_lang_name",
    "task.tgt_lang": "trg_lang_name",
    "model.name": "pretrained_model_name_or_path",
    "data.valid": "a column is_valid",
    "data.splits": "dblock_splitter",
}
OF_DL = {"batch_size": "bs", "eval_batch_size": "val_bs"}
VALUE = r"(?P<value>=(?:'[^']*'|\"[^\"]*\"|\[[^\]]*\]|[^\s,;:()]*[^\s,;:().]))?"
KEY = re.compile(r"(?<![\w/.])\+*(?P<key>(?:data|task|model|loader|optimizer)(?:\.[a-z_]+)+)" + VALUE)
OPTION = re.compile(r"\b(?P<group>metrics|task|model)=(?P<option>\[[\w,]+\]|\w+)")
FLAG = re.compile(r" \(--[a-z-]+\)")  # of `blurr predict`


@contextmanager
def in_words_of_notebook() -> Iterator[None]:
    """Raise an InputError of the block anew, in the words of the notebook."""
    try:
        yield
    except InputError as error:
        said = as_arguments(str(error))
        if said == str(error):
            raise
        raise InputError(said) from error


def as_arguments(message: str) -> str:
    """Return a message with the arguments of a notebook in place of keys of the configuration."""
    return OPTION.sub(_option, KEY.sub(_argument, FLAG.sub("", message)))


def _argument(found: re.Match[str]) -> str:
    key, value = found["key"], (found["value"] or "")[1:]
    group, *parts = key.split(".")
    if key.startswith("data.columns."):
        return f"{ATTRS.get(parts[1], parts[1])}{_shown(value)}"
    for known, name in WORDS.items():
        if key == known or key.startswith(f"{known}."):
            return name if known.startswith("data.") else f"{name}{_shown(value)}"
    if group == "loader":
        return f'dl_kwargs={{"{OF_DL.get(parts[0], parts[0])}": {_quoted(value)}}}'
    if group == "model":
        return f'hf_kwargs={{"{parts[0]}": {_inner(parts[1:], value)}}}'
    if parts[0] == "generation" and len(parts) > 1:
        return f'text_gen_kwargs={{"{parts[1]}": {_quoted(value)}}}'
    return f"{parts[0]}{_shown(value)}"


def _option(found: re.Match[str]) -> str:
    """Say a whole option: metrics are objects in a notebook, a task is a class of learners."""
    if found["group"] == "metrics":
        return f'learner_kwargs={{"metrics": …}} with {found["option"].strip("[]").replace(",", ", ")}'
    return f"another {found['group']}, such as {found['option']}"


def _shown(value: str) -> str:
    return f"={_quoted(value)}" if value else ""


def _inner(parts: list[str], value: str) -> str:
    return f'{{"{parts[0]}": {_quoted(value)}}}' if parts else _quoted(value)


def _quoted(value: str) -> str:
    """Return a value as Python writes it; what a reader is to fill in stays as it is."""
    constants = {"true": "True", "false": "False", "null": "None", "": "…"}
    if value in constants:
        return constants[value]
    if re.fullmatch(r"-?[\d.]+(e-?\d+)?|[\[<'\"{].*", value):
        return value
    return f'"{value}"'
