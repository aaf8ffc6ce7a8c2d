"""Checkpoints that are broken, cut off, or made to hurt."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from blurr.text.objects import get_hf_objects
from tests.bad_input.case import Case
from tests.bad_input.configs import composed

REFUSED = "Cannot load a model from|config.json (is not|says)|lacks|is not readable JSON"
# name: (file, content: None deletes)
BROKEN: dict[str, tuple[str, str | bytes | None]] = {
    "no config": ("config.json", None),
    "an empty config": ("config.json", ""),
    "a config that is cut off": ("config.json", '{"model_type": "be'),
    "a config that is a list": ("config.json", "[]"),
    "a config that is a number": ("config.json", "3"),
    "a config of random bytes": ("config.json", random.Random(0).randbytes(500)),
    "a config nested too deeply": ("config.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
    "a config with a number of 5000 digits": (
        "config.json",
        '{"model_type": "bert", "vocab_size": ' + "9" * 5000 + "}",
    ),
    "a config without a model type": ("config.json", "{}"),
    "a model type there is not": ("config.json", '{"model_type": "brt"}'),
    "a model type that is a list": ("config.json", '{"model_type": ["bert"]}'),
    "a model type that is a path": ("config.json", '{"model_type": "../../bert"}'),
    "another architecture": ("config.json", '{"model_type": "t5", "vocab_size": 10}'),
    "a size that is a word": ("config.json", '{"model_type": "bert", "hidden_size": "large"}'),
    "heads that do not divide": ("config.json", '{"model_type": "bert", "hidden_size": 10, "num_attention_heads": 3}'),
    "no weights": ("model.safetensors", None),
    "empty weights": ("model.safetensors", ""),
    "weights that are cut off": ("model.safetensors", b"\x10\x00\x00\x00\x00\x00\x00\x00{"),
    "weights that are text": ("model.safetensors", "weights"),
    "weights with a huge header": ("model.safetensors", b"\xff" * 8 + b"{}"),
    "weights with a header longer than the file": ("model.safetensors", (10**7).to_bytes(8, "little") + b"{}"),
    "no tokenizer": ("tokenizer.json", None),
    "a tokenizer that is cut off": ("tokenizer.json", '{"version": "1.0"'),
    "a tokenizer that is a list": ("tokenizer.json", "[]"),
    "a tokenizer of random bytes": ("tokenizer.json", random.Random(0).randbytes(500)),
    "a tokenizer nested too deeply": ("tokenizer.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
    "a tokenizer of an unknown kind": ("tokenizer.json", '{"version": "1.0", "model": {"type": "Magic"}}'),
    "a tokenizer's settings that are cut off": ("tokenizer_config.json", "{"),
    "a tokenizer's settings that are a list": ("tokenizer_config.json", "[]"),
    "an index that is cut off": ("model.safetensors.index.json", "{"),
    "an index that is a list": ("model.safetensors.index.json", "[]"),
    "an index without weights": ("model.safetensors.index.json", '{"weight_map": 3}'),
}
# name: (values of the config, answer)
SIZES: dict[str, tuple[dict[str, Any], str]] = {
    "a negative vocabulary": ({"vocab_size": -1}, "vocab_size=-1: no model has that"),
    "a vocabulary of a billion": ({"vocab_size": 10**9}, "vocab_size=1000000000: no model has that"),
    "a vocabulary that is smaller than the tokenizer's": (
        {"vocab_size": 3},
        "Cannot load|lacks|other sizes|rows|missing",
    ),
    "a million layers": ({"num_hidden_layers": 10**6}, "num_hidden_layers=1000000: no model has that"),
    "a negative layer": ({"num_hidden_layers": -3}, "num_hidden_layers=-3: no model has that"),
    "a width of a billion": ({"hidden_size": 10**9}, "hidden_size=1000000000: no model has that"),
    "no width": ({"hidden_size": 0}, "Cannot load|lacks"),
    "no heads": ({"num_attention_heads": 0}, "Cannot load|lacks"),
    "negative positions": ({"max_position_embeddings": -5}, "max_position_embeddings=-5: no model has that"),
    "an activation there is not": ({"hidden_act": "magic"}, "Cannot load"),
    "a type of numbers there is not": ({"dtype": "float99"}, "Cannot load"),
    "labels that are a list": ({"id2label": ["a", "b"]}, "Cannot load"),
    "labels with ids that are words": ({"id2label": {"a": "b"}}, "Cannot load"),
    "a billion labels": ({"num_labels": 10**9}, "num_labels=1000000000: no model has that"),
}


def _header(**tensors: Any) -> bytes:
    head = json.dumps(tensors).encode()
    return len(head).to_bytes(8, "little") + head + bytes(64)


def _tensor(**values: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64], **values}


WEIGHTS = {
    "a tensor of negative size": _header(a=_tensor(shape=[-4, -4])),
    "a tensor longer than the file": _header(a=_tensor(data_offsets=[0, 2**40])),
    "a tensor of an absurd shape": _header(a=_tensor(shape=[2**40, 2**40])),
    "a tensor that ends before it begins": _header(a=_tensor(data_offsets=[64, 0])),
    "two tensors in one place": _header(a=_tensor(), b=_tensor()),
    "a tensor of a type there is not": _header(a=_tensor(dtype="F99")),
    "a tensor without a shape": _header(a={"dtype": "F32"}),
    "other tensors": _header(a=_tensor()),
}
ELSEWHERE = ("../../etc/passwd", "/etc/passwd", "sub/model.safetensors", "..")


def load(folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    get_hf_objects(folder, AutoModelForSequenceClassification)


def _spoiled(
    good: Path, spoil: Callable[[Path], object], give: Callable[[Path], object] = load
) -> Callable[[Path], None]:
    def given(folder: Path) -> None:
        copy = shutil.copytree(good, folder / "checkpoint")
        spoil(copy)
        give(copy)

    return given


def _writes(file: str, content: str | bytes | None) -> Callable[[Path], object]:
    def spoil(copy: Path) -> None:
        if content is None:
            (copy / file).unlink()
        else:
            (copy / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return spoil


def _resizes(values: dict[str, Any]) -> Callable[[Path], object]:
    def spoil(copy: Path) -> None:
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, **values}))

    return spoil


def _shards(name: str) -> Callable[[Path], object]:
    def spoil(copy: Path) -> None:
        (copy / "model.safetensors").unlink()
        (copy / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}}))

    return spoil


def _pipe(file: str) -> Callable[[Path], object]:
    def spoil(copy: Path) -> None:
        (copy / file).unlink(missing_ok=True)
        os.mkfifo(copy / file)

    return spoil


def _links(file: str, target: str) -> Callable[[Path], object]:
    def spoil(copy: Path) -> None:
        (copy / file).unlink(missing_ok=True)
        (copy / file).symlink_to(target)

    return spoil


def _by_config(copy: Path) -> None:
    composed("model=auto", f"model.name={copy}")


NO_FILES = {
    "a config that is a pipe": (_pipe("config.json"), "Cannot load|is a named pipe"),
    "weights that are a pipe": (_pipe("model.safetensors"), "is a named pipe"),
    "a tokenizer that is a device": (_links("tokenizer.json", "/dev/zero"), "is a device"),
    "weights that are a device": (_links("model.safetensors", "/dev/zero"), "is a device"),
    "weights that are a circle of links": (
        _links("model.safetensors", "model.safetensors"),
        "cannot be read: Too many",
    ),
    "weights that are a link to nothing": (_links("model.safetensors", "nowhere"), "cannot be read: No such file"),
}
BY_CONFIG = {
    "a model type that is a list": ('{"model_type": ["bert"]}', "model_type=.*not a name"),
    "a config nested too deeply": ("[" * 100_000, "config.json is not readable JSON"),
    "a config of random bytes": (random.Random(0).randbytes(500), "config.json is not readable JSON"),
}


def cases(good: Path) -> Iterator[Case]:
    """Spoil copies of a good checkpoint.

    Args:
        good: the folder of one.
    """
    for name, (file, content) in BROKEN.items():
        yield Case("checkpoint", name, _spoiled(good, _writes(file, content)), REFUSED + "|does not say which file")
    for name, (values, says) in SIZES.items():
        yield Case("checkpoint", name, _spoiled(good, _resizes(values)), says)
    for name, weights in WEIGHTS.items():
        yield Case("checkpoint", name, _spoiled(good, _writes("model.safetensors", weights)), REFUSED)
    for name in ELSEWHERE:
        yield Case(
            "checkpoint", f"an index that names {name}", _spoiled(good, _shards(name)), "not lie beside it|is not there"
        )
    yield Case("checkpoint", "an index that names no file", _spoiled(good, _shards("a.safetensors")), "is not there")
    for name, (spoil, says) in NO_FILES.items():
        yield Case("checkpoint", name, _spoiled(good, spoil), says)
    for name, (text, says) in BY_CONFIG.items():
        yield Case("checkpoint", f"{name}, the config", _spoiled(good, _writes("config.json", text), _by_config), says)
    yield Case("checkpoint", "a pipe, the config", _spoiled(good, _pipe("config.json"), _by_config), "is a named pipe")
    yield Case("checkpoint", "a folder that is not there", lambda folder: load(folder / "none"), "Cannot load")
    yield Case("checkpoint", "a file in place of a folder", lambda folder: load(good / "config.json"), "Cannot load")
    for name, where in (("an address", "http://127.0.0.1:9/bert"), ("a name of 5000 letters", "a" * 5000)):
        yield Case("checkpoint", name, lambda _, where=where: _by_config(where), "address|too long")  # type: ignore[misc]
