"""Attacks: what a run, a checkpoint, a model or an archive of somebody else says is not done. Each leaves no mark."""

import inspect
import json
import logging
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import fastai.callback.training
import fastai.optimizer
import pytest
import torch
import torchmetrics.classification
import torchmetrics.regression
import yaml
from checkpoints import GOOD, make_tiny_bert
from fastai.callback.core import Callback
from omegaconf import OmegaConf
from transformers import AutoModelForSequenceClassification

from blurr.config import explain, trust
from blurr.config.composing import HydraConfig, compose
from blurr.data.files import load_files
from blurr.errors import InputError
from blurr.metrics.meaning import BertScore
from blurr.models.objects import build_model
from blurr.reproduce import reproduce
from blurr.runs import resume
from blurr.runs.secrets import MaskingFormatter
from blurr.serve.evaluating import composed
from blurr.serve.predictor import Predictor
from blurr.sweep import resuming
from blurr.sweep.ledger import Ledger
from blurr.sweep.run import check_unchanged
from blurr.sweep.space import Axis, Space
from blurr.tasks.saved import FILE, SavedTask, load_task, save_task
from blurr.text.inputs import TEXT
from blurr.text.objects import get_hf_objects
from blurr.text.seq2seq.summarization import Summarization
from blurr.text.sequence_classification.task import SequenceClassification
from blurr.tracking.finding import find_run

MARK = "was-here"
TOUCH = f"touch {MARK}"
SYSTEM = {"_target_": "os.system", "command": TOUCH}
SYSTEM_WORD = f"{{_target_: os.system, command: {TOUCH}}}"


class Touch:
    """What a pickle runs when it is read."""

    def __reduce__(self) -> Any:
        return os.system, (TOUCH,)


@pytest.fixture(autouse=True)
def unmarked(work: Path):
    """After each test: nothing that an attack wanted to run has run."""
    yield
    assert not list(work.rglob(MARK))
    assert not (work.parent / MARK).exists()


# -- the list

NEVER = [
    *("os.system", "subprocess.run", "builtins.eval", "builtins.exec", "builtins.open", "pickle.loads", "joblib.load"),
    *("torch.load", "torch.hub.load", "torch.optim.adam.torch.load", "torch.optim.lr_scheduler", "torch.jit.load"),
    *("hydra.utils.get_method", "hydra.utils.call", "hydra.utils.instantiate", "functools.partial", "importlib.reload"),
    *("fastai.learner.load_learner", "fastai.optimizer.load_learner", "fastai.callback.training.load_learner"),
    *("fastai.callback.training.Path", "transformers.pipeline", "transformers.AutoModel.from_pretrained"),
    *(
        "blurr.config.signatures.eval",
        "blurr.config.building.instantiate",
        "blurr.config.building.build",
        "blurr.run.main",
        "sklearn.base",
    ),
    *(
        "torchmetrics.classification.accuracy.torch.load",
        "blurr.loading.cache.prune",
        "torch.optim.AdamW.load_state_dict",
    ),
    *("", "${schedule._target_}", 3, None, ["os.system"], {"a": "os.system"}),
]


@pytest.mark.parametrize("target", NEVER, ids=map(str, NEVER))
def test_what_is_not_on_the_list_is_refused_wherever_it_stands(target):
    node = {"_target_": target, "_partial_": True}
    for config in ({"task": node}, {"a": [{"b": (1, {"c": node})}]}, node):
        with pytest.raises(InputError, match=r"it says .*_target_=.*which is not among what .* make\. Leave it\."):
            trust.check_config(config, where="it", remedy="Leave it.")


def test_whatever_blurr_itself_composes_is_on_the_list():
    for target in trust.shipped_targets():
        trust.check_config({"x": {"_target_": target}}, where="it", remedy="")
    assert len(trust.shipped_targets()) > 50
    assert not any(target.startswith("my_module") for target in trust.shipped_targets())


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (torch.optim, torch.optim.Optimizer),
        (torchmetrics.classification, torchmetrics.Metric),
        (torchmetrics.regression, torchmetrics.Metric),
        (fastai.callback.training, Callback),
        (fastai.optimizer, (fastai.optimizer.Optimizer, fastai.optimizer.OptimWrapper)),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_the_patterns_admit_nothing_but_optimizers_metrics_and_callbacks(module, kind):
    admitted = [name for name in dir(module) if trust.OTHERS.fullmatch(f"{module.__name__}.{name}")]
    assert admitted
    for name in admitted:
        made = getattr(module, name)
        if inspect.isclass(made):
            assert issubclass(made, kind), name
        else:  # fastai's optimizers are functions that make one
            assert made.__module__ == module.__name__ == "fastai.optimizer"


def test_a_trusted_package_is_admitted_and_none_whose_name_only_begins_like_it():
    assert trust.is_listed("mine.tasks.Mine", ["mine"])
    assert not trust.is_listed("miner.Mine", ["mine"])
    assert not trust.is_listed("mine.tasks.Mine")


@pytest.mark.parametrize(
    "config",
    [
        {"model": {"model_kwargs": {"trust_remote_code": True}}},
        {"model": {"tokenizer_kwargs": {"trust_remote_code": "true"}}},
        {"model": {"model_kwargs": {"weights_only": False}}},
        {"model": {"model_kwargs": {"attn_implementation": "somebody/kernels"}}},
        {"task": "${oc.create:{_target_: os.system}}"},
        {"tracking": {"uri": "http://evil/${oc.env:HOME}"}},
        {"model": {"model_kwargs": {"cache_dir": "/elsewhere"}}},
        {"model": {"tokenizer_kwargs": {"proxies": {"https": "http://evil"}}}},
    ],
    ids=[
        *("remote code", "remote code of the tokenizer", "pickles", "kernels", "a created node", "the environment"),
        *("a folder elsewhere", "a proxy"),
    ],
)
def test_other_ways_to_code_and_secrets_are_refused(config):
    with pytest.raises(InputError, match="which (would let files run code|is looked up elsewhere)"):
        trust.check_config(config, where="it", remedy="")


# -- runs that are gone on with, or run again

WORDS = {
    "a target": "schedule._target_=os.system",
    "a node": f"+callbacks.x={{_target_: os.system, command: {TOUCH}}}",
    "a node in a list": f"+data.preprocess=[{{_target_: os.system, command: '{TOUCH}'}}]",
    "a node among the values of a sweep": "schedule={_target_: os.system},{_target_: os.system}",
    "torch.load": "+data.preprocess={_target_: torch.load, f: evil.pt}",
    "hidden behind another key": "schedule._target_='${model.name}'",
    "made by a resolver": "+callbacks.x='${oc.create:{_target_: os.system}}'",
    "the environment": "+tracking.tags.x='${oc.env:HOME}'",
    "Hydra's own callbacks": f"+hydra.callbacks.x={{_target_: os.system, command: {TOUCH}}}",
    "Hydra's logging": "hydra.job_logging.formatters.simple={'()': os.system}",
    "Hydra's launcher": "hydra/launcher=evil",
    "an option put into Hydra": "+experiments@hydra.callbacks=evil",
    "an option elsewhere": "experiments=../elsewhere/evil",
    "an absolute option": "experiments=/tmp/evil",
    "options elsewhere": "metrics=[accuracy,../evil]",
    "a flag": "--config-dir=/tmp/evil",
    "remote code": "+model.model_kwargs.trust_remote_code=true",
    "a reference that joins pieces": "+tracking.tags.x='${seed}${seed}'",
    "a reference in a text": "tracking.run_name='of ${seed}'",
    "a reference to what the user's options say": "+tracking.tags.x='${data.token}'",
    "a reference to a part of the config": "+tracking.tags.x='${tracking}'",
    "an escaped reference": "+tracking.tags.x='\\${oc.env:HOME}'",
}


@pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
def test_a_run_that_is_gone_on_with_brings_no_code(work: Path, word: str):
    (work / "out").mkdir()
    (work / "out" / "overrides.yaml").write_text(yaml.safe_dump(["seed=3", word]))
    with pytest.raises(Exception, match="out says|token recognition error|no viable alternative|mismatched input"):
        resume.expand(["resume=out"], find_run)


def test_words_that_blurr_records_pass_and_those_of_the_user_are_her_own(work: Path):
    (work / "out").mkdir()
    good = ["seed=3", "~callbacks", "metrics=[accuracy,f1]", "optimizer.lr='${seed}'", "optimizer=adamw"]
    own = "+callbacks.mine={_target_: my_module.Mine}"
    (work / "out" / "overrides.yaml").write_text(yaml.safe_dump([*good, own]))
    with pytest.raises(InputError, match="If you want this, give the override yourself"):
        resume.expand(["resume=out"], find_run)
    assert resume.expand(["resume=out", own], find_run)[:-2] == [*good, own]
    assert resume.expand([*good, own, "resume=auto"], find_run) == [*good, own, "resume=auto"]


def test_a_word_that_was_hidden_must_be_given_again(work: Path):
    (work / "out").mkdir()
    (work / "out" / "overrides.yaml").write_text(yaml.safe_dump(["tracking.uri=http://me:***@host"]))
    with pytest.raises(InputError, match=r"was hidden in the record .*Give it: tracking\.uri=…"):
        resume.expand(["resume=out"], find_run)
    assert "tracking.uri=http://me:x@host" in resume.expand(["resume=out", "tracking.uri=http://me:x@host"], find_run)


@pytest.mark.parametrize("text", ["seed=3", "- {a: b}", "!!python/object/apply:os.system ['touch was-here']"])
def test_words_that_are_none_are_refused(work: Path, text: str):
    (work / "out").mkdir()
    (work / "out" / "overrides.yaml").write_text(text)
    with pytest.raises((InputError, yaml.YAMLError)):
        resume.expand(["resume=out"], find_run)


def test_the_journal_of_a_sweep_brings_no_code(work: Path):
    folder = work / "multirun" / "first"
    folder.mkdir(parents=True)
    Ledger(folder).begin(name="first", argv=["-m", "seed=1,2", WORDS["a node"]], words=[], weights="scratch")
    with pytest.raises(InputError, match="first says .*os.system.* not among"):
        resuming.expand(["sweep.resume=first"])


@pytest.mark.parametrize("name", ["${oc.env:HOME}", "a b", "a\nb: {_target_: os.system}", "../elsewhere"])
def test_the_name_in_the_journal_of_a_sweep_is_but_a_name(work: Path, name: str):
    folder = work / "multirun" / "first"
    folder.mkdir(parents=True)
    Ledger(folder).begin(name=name, argv=["-m", "seed=1,2"], words=[], weights="scratch")
    with pytest.raises(InputError, match=r"of a sweep named '.*', which is no name of one"):
        resuming.expand(["sweep.resume=first"])


@pytest.mark.parametrize("weights", ["${oc.env:HOME}", "of mine", 3])
def test_the_weights_in_the_journal_of_a_sweep_are_but_a_choice(work: Path, weights):
    ledger = Ledger(work)
    ledger.begin(name="first", argv=[], words=[], weights=weights)
    with pytest.raises(InputError, match=r"weights=.*, which is none of auto, pretrained, scratch"):
        check_unchanged(ledger, [], Space((), ()))


def test_a_sweep_goes_on_in_its_own_folder_wherever_its_journal_says_it_is(work: Path):
    folder = work / "multirun" / "first"
    folder.mkdir(parents=True)
    Ledger(folder).begin(
        name="first", argv=["-m", "seed=1,2", "output_dir=elsewhere", "overwrite=true"], words=[], weights="auto"
    )
    words = resuming.expand(["sweep.resume=first"])
    assert words == ["-m", "seed=1,2", "overwrite=true", "sweep.name=first", f"hydra.sweep.dir='{folder}'"]
    folder.rename(work / "elsewhere")
    assert "output_dir=elsewhere" in resuming.expand(["sweep.resume=elsewhere"])


def test_a_folder_whose_name_would_be_looked_up_is_not_gone_on_with(work: Path):
    folder = work / "${oc.env:HOME}"
    folder.mkdir()
    (folder / "overrides.yaml").write_text("[seed=3]")
    with pytest.raises(InputError, match="in its name, which would be looked up elsewhere"):
        resume.expand([f"resume={folder}"], find_run)
    quote = folder.rename(work / "it's")
    assert f"output_dir='{work}/it\\'s'" in resume.expand([f"resume={quote}"], find_run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "checkpoints", "deep/er"])
def test_a_folder_with_links_that_lead_out_of_it_is_not_gone_on_with(work: Path, name: str):
    (work / "out" / "deep").mkdir(parents=True)
    (work / "out" / "overrides.yaml").write_text("[seed=3]")
    (work / "out" / "within").symlink_to("overrides.yaml")
    assert resume.expand(["resume=out"], find_run)
    (work / "out" / name).symlink_to(work / "elsewhere")
    with pytest.raises(InputError, match=rf"{name} is a link to .*elsewhere, out of the folder"):
        resume.expand(["resume=out"], find_run)


@pytest.mark.parametrize("point", [{"seed": "3"}, {"schedule": SYSTEM_WORD}, {"optimizer.lr": SYSTEM_WORD}], ids=str)
def test_a_trial_that_was_put_into_a_journal_is_not_run(work: Path, point):
    words = ["seed=1,2", "optimizer.lr=interval(0.1,0.2)"]
    space = Space((), (Axis("seed", ("1", "2")), Axis("optimizer.lr", low=0.1, high=0.2)))
    ledger = Ledger(work)
    ledger.begin(name="first", argv=["-m", *words], words=words, weights="scratch")
    ledger.propose(0, "a", {"seed": "1", "optimizer.lr": "0.15"})
    check_unchanged(ledger, words, space)
    ledger.propose(1, "b", point)
    with pytest.raises(InputError, match="which is outside of this sweep: somebody has changed it"):
        check_unchanged(ledger, words, space)


def test_the_command_that_goes_on_with_a_malicious_run_ends_in_one_message(work: Path, blurr):
    (work / "out").mkdir()
    (work / "out" / "overrides.yaml").write_text(yaml.safe_dump([WORDS["Hydra's own callbacks"]]))
    done = blurr("run", "resume=out")
    assert done.returncode == 2
    assert "which changes how blurr starts" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commands_that_use_a_malicious_run_end_in_one_message(work: Path, blurr):
    config = config_of("tracking=none", "model.weights=scratch")
    config["callbacks"] = {"x": SYSTEM}
    (work / "out").mkdir()
    (work / "out" / "config.yaml").write_text(yaml.safe_dump(config))
    save_task(work / "out", SavedTask(Summarization()))
    parts = json.loads((work / "out" / FILE).read_text())
    parts["task"]["generation"] = SYSTEM
    (work / "out" / FILE).write_text(json.dumps(parts))
    (work / "rows.csv").write_text("text\nhello\n")
    for words in (["reproduce", "out"], ["predict", "out", "--input", "rows.csv", "--output", "p.csv"]):
        done = blurr(*words)
        assert done.returncode == 2, done.stderr
        assert "_target_=os.system, which is not among" in done.stderr
        assert "Traceback" not in done.stderr


def config_of(*words: str) -> dict[str, Any]:
    cfg = compose([*words, "output_dir=out"])
    return {str(key): OmegaConf.to_container(cfg[key]) for key in ("task", "model", "data", "callbacks", "metrics")}


@pytest.mark.parametrize("group", ["task", "model", "data", "callbacks"])
def test_a_record_that_is_run_again_brings_no_code(work: Path, group: str):
    config = config_of("tracking=none")
    config[group] = {"x": [SYSTEM]}
    (work / "out").mkdir()
    (work / "out" / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(InputError, match=rf"config of out says {group}\.x\.0\._target_=os.system.*--trust PACKAGE"):
        reproduce("out", uri="sqlite:///none.db")


# -- models


def malicious(folder: Path, **changes: Any) -> None:
    save_task(folder, SavedTask(Summarization()))
    parts = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**parts, **changes}))


@pytest.mark.parametrize(
    "setting", [SYSTEM, {"num_beams": SYSTEM}, {"a": [[SYSTEM]]}, "${oc.create:{_target_: os.system}}"], ids=str
)
def test_a_setting_of_a_saved_task_brings_no_code(work: Path, setting):
    malicious(work, task={"_target_": "blurr.text.seq2seq.summarization.Summarization", "generation": setting})
    with pytest.raises(InputError, match="not among|looked up elsewhere"):
        load_task(work)


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": {"task": "../evil"}},
        {"choices": {"task": "summarization", "data": "x={_target_: os.system}"}},
        {"columns": {"text={_target_: os.system}": "a"}},
        {"columns": {"text": "${oc.env:HOME}"}},
        {"columns": {"text": [SYSTEM]}},
    ],
    ids=str,
)
def test_names_in_a_saved_task_become_no_other_words(work: Path, changes):
    malicious(work, **changes)
    with pytest.raises(InputError, match="not the file that a run of blurr leaves|looked up|not among"):
        load_task(work)


@pytest.mark.parametrize("column", ["it's", "a\\", "\\'", "a, b", "[x]", "{a: b}", "a=b"])
def test_a_column_of_any_name_stays_that_name(work: Path, column: str):
    (work / "new.jsonl").write_text(json.dumps({column: "fine", "label": "a"}))
    saved = SavedTask(SequenceClassification(), {"text": column}, {"task": "sequence_classification", "data": "files"})
    assert composed(saved, ["data=files", "data.test=new.jsonl"]).data.columns.text == column


def test_a_task_of_the_users_own_is_loaded_where_she_trusts_its_package(work: Path, monkeypatch):
    (work / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from blurr.text.seq2seq.summarization import Summarization\n"
        "@dataclass\nclass Mine(Summarization):\n    loud: bool = False\n"
        "def no_task():\n    return 3\n"
    )
    monkeypatch.syspath_prepend(str(work))
    malicious(work, task={"_target_": "mine.Mine", "loud": True})
    with pytest.raises(InputError, match=r"'mine\.Mine', which is not one of blurr's\..*--trust PACKAGE"):
        load_task(work)
    assert load_task(work, trusted=["mine"]).task.loud
    malicious(work, task={"_target_": "mine.no_task"})
    with pytest.raises(InputError, match="which makes a int, not a task"):
        load_task(work, trusted=["mine"])


CODE = f"import os\nos.system({TOUCH!r})\nfrom transformers import BertConfig, BertForSequenceClassification as M\n"


def with_code(folder: Path, model_type: str) -> Path:
    make_tiny_bert(folder)
    (folder / "modeling_evil.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "modeling_evil.BertConfig", "AutoModelForSequenceClassification": "modeling_evil.M"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": model_type, "auto_map": names}))
    return folder


@pytest.mark.parametrize("weights", ["pretrained", "scratch"])
def test_a_model_that_brings_code_is_refused(work: Path, weights: str):
    folder = with_code(work / "model", "evil")
    with pytest.raises(InputError, match=r"brings Python code of its own, which is not run.*trust_remote_code=true"):
        build_model(
            str(folder),
            model_cls="AutoModelForSequenceClassification",
            config={},
            corpus=tuple,
            load_weights=True,
            weights=weights,
            inputs=TEXT,
        )


def test_code_beside_a_model_that_needs_none_is_not_run(work: Path):
    folder = with_code(work / "model", "bert")
    assert get_hf_objects(folder, AutoModelForSequenceClassification).arch == "bert"


def test_a_trained_model_that_brings_code_is_refused(work: Path, blurr):
    folder = with_code(work / "model", "evil")
    save_task(folder, SavedTask(SequenceClassification()))
    with pytest.raises(InputError, match="brings Python code of its own"):
        Predictor.load(folder)
    (work / "rows.csv").write_text("text\nhello\n")
    done = blurr("predict", "model", "--input", "rows.csv", "--output", "p.csv")
    assert (done.returncode, "brings Python code of its own" in done.stderr) == (2, True)


def test_an_encoder_of_a_metric_that_brings_code_is_refused(work: Path):
    folder = with_code(work / "model", "evil")
    with pytest.raises(InputError, match="no encoder can be loaded"):
        BertScore(model=str(folder))._embed([GOOD[0]])


# -- pickles and archives


def test_a_pickle_in_the_place_of_weights_is_not_read(work: Path):
    folder = make_tiny_bert(work / "model")
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Touch()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="are a pickle that holds more than numbers"):
        get_hf_objects(folder, AutoModelForSequenceClassification)


def test_a_pickle_that_calls_itself_safetensors_is_not_read(work: Path):
    folder = make_tiny_bert(work / "model")
    (folder / "model.safetensors").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(InputError, match="Cannot load a model"):
        get_hf_objects(folder, AutoModelForSequenceClassification)


def evil_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"../{MARK}", "x")
        archive.writestr(f"{path.parent / MARK}", "x")
        archive.writestr("train.csv", "text,label\nx,a\n")
    return path


@pytest.mark.parametrize("name", ["rows.zip", "rows.csv.zip", "rows.tar", "rows.xlsx", "rows.parquet", "rows.csv"])
def test_an_archive_of_rows_is_not_unpacked(work: Path, name: str):
    evil_zip(work / name)
    with pytest.raises(
        InputError, match="of a zip one is read|of packed files .* are read|cannot be read|not a parquet|not encoded"
    ):
        load_files(SequenceClassification().schema, train=str(work / name))


@pytest.mark.parametrize("name", ["model.zip", "model.tar"])
def test_an_archive_of_a_model_is_not_unpacked(work: Path, name: str):
    evil_zip(work / name)
    with pytest.raises(InputError, match="Cannot load a model"):
        get_hf_objects(work / name, AutoModelForSequenceClassification)
    with pytest.raises(InputError, match="There is no folder"):
        Predictor.load(work / name)


# -- messages


def test_a_message_shows_the_control_characters_of_a_record(capsys):
    with pytest.raises(SystemExit), explain.Answering():
        raise InputError("x\x1b]52;c;ZXZpbA==\x07\u202eelif\r\n\ty")
    assert capsys.readouterr().err == "x\\x1b]52;c;ZXZpbA==\\x07\\u202eelif\\r\n\ty\n"


# -- secrets


def test_hydra_writes_no_copy_of_the_words_and_the_log_is_masked(work: Path):
    compose([])
    cfg = HydraConfig.instance().cfg
    assert cfg.hydra.output_subdir is None
    assert {each["()"] for each in cfg.hydra.job_logging.formatters.values()} == {
        f"{MaskingFormatter.__module__}.{MaskingFormatter.__name__}"
    }
    record = logging.LogRecord("x", 20, "x", 1, "no answer from %s", ("http://me:hunter2@host",), None)
    assert MaskingFormatter("%(message)s").format(record) == "no answer from http://me:***@host"
