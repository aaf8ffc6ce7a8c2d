"""Overrides and option files that make no config."""

from collections.abc import Callable, Iterator
from pathlib import Path

from blurr.config import composing
from blurr.data import checks
from tests.bad_input.case import Case

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
    "an option of what has none": (["checkpoint=every"], "^checkpoint=every: .*set its keys, each as checkpoint.KEY="),
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


def cases(good: Path) -> Iterator[Case]:
    for name, (words, says) in CONFIGS.items():
        yield Case("config", name, lambda _, words=words: composed(*words), says)  # type: ignore[misc]
    for name, content in FILES.items():
        yield Case("config file", name, _option(content), "mine|YAML|model")
