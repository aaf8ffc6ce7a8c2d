"""The help of every command: wrapped at words, with examples and defaults; and what other programs call a setting."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from blurr import cli
from blurr.commands import help_of_run
from blurr.config import composing, paths
from blurr.config.habits import translated
from blurr.errors import InputError

ROOT = Path(__file__).parents[1]
COMMANDS = cli.commands().parsers
HEAVY = ("torch", "transformers", "mlflow", "fastai", "datasets", "hydra", "pandas")


def words_cut(text: str) -> list[str]:
    """Return the words at ends of lines of which the next line has the rest."""
    return re.findall(r"\w-\n +\w+", text)


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["run", "-h", "seed=1"]], ids=" ".join)
def test_help_is_as_wide_as_the_terminal_and_breaks_no_word(words, columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "argv", ["blurr", *words])
    with pytest.raises(SystemExit) if words[0] != "run" else open(os.devnull):
        cli.main()
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= min(columns, 100)
    assert not words_cut(shown)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "run"])
def test_every_command_says_what_it_does_with_an_example_and_defaults(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    parser = cli.commands().parsers[name]
    shown = parser.format_help()
    assert re.match(rf"usage: blurr {name} .*\n\n[A-Z]", shown)
    assert re.search(r"^examples?:\n  blurr ", shown, re.MULTILINE)
    text, _, examples = shown.partition("example")
    assert max(map(len, text.splitlines())) <= 80
    for line in re.findall(r"^  blurr (.+)", examples, re.MULTILINE):
        if not line.startswith("run "):
            cli.commands().parser.parse_args(shlex.split(line))  # an example that can be typed
    for action in parser.actions:
        if action.option_strings and action.default not in (None, False, [], "==SUPPRESS=="):
            assert "default" in text[text.index(action.option_strings[-1]) :], action.dest


def test_help_of_a_command_of_commands_lists_them():
    assert all(f"\n  {name} " in COMMANDS["sweep"].format_help() for name in ("ls", "show", "best", "export"))


def test_help_of_run_has_every_group_with_its_default_and_no_wall_of_names(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    help_of_run.show()
    shown = capsys.readouterr().out
    for group, default, word in paths.contents():
        assert re.search(rf"^ {group} +{re.escape(default or '-')}", shown, re.MULTILINE)
        assert word.split()[0] in shown
    assert {group for group, *_ in paths.contents()} == set(paths.groups())
    assert shown.count("distilroberta") <= 2
    assert len(shown.splitlines()) < 90


def test_the_usual_keys_are_there_with_these_defaults(monkeypatch):
    cfg = composing.compose(["data=files", "data.train=x"])
    for key, default in help_of_run.defaults().items():
        node = cfg
        for part in key.split("."):
            assert part in node, key
            node = node[part] if key != "output_dir" else default
        if default and key not in ("metrics", "data.columns.text"):
            assert str(node) == default


@pytest.mark.parametrize("module", ["blurr", "blurr.run"])
def test_help_is_quick_and_loads_nothing_heavy(module, tmp_path):
    program = (
        f"import runpy, sys, time; sys.argv = ['x', *{['run', '--help'] if module == 'blurr' else ['--help']}]\n"
        f"try: runpy.run_module('{module}', run_name='__main__')\n"
        f"finally: print(*[name for name in {HEAVY[:5]} if name in sys.modules], time.process_time(), file=sys.stderr)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: blurr run")
    assert float(done.stderr) < 4  # of CPU time, and alone, so nothing heavy


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runn"], r"blurr: there is no command 'runn'\. Did you mean 'run'\? There are: "),
        (["task=summarization"], r"Did you mean 'run task=summarization'\?"),
        (["sweep", "shw"], r"blurr sweep: there is no command 'shw'\. Did you mean 'show'\?"),
        (["cache", "lss"], r"there is no action 'lss'\. Did you mean 'ls'\?"),
        (["predict"], r"blurr predict: missing: MODEL\. `blurr predict --help` shows"),
        (["serve", "x", "--port", "abc"], r"blurr serve: --port: invalid int value: 'abc'\."),
    ],
    ids=" ".join,
)
def test_a_mistyped_command_is_one_message(words, said):
    with pytest.raises(InputError, match=said):
        cli.commands().parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doctor", "--timming"], r"unrecognized arguments: --timming\. Did you mean '--timing'\?"),
        (
            ["plan", "--epochs", "3", "seed=1"],
            r"no flag '--epochs'\. Values .+: schedule\.epochs=3\.",
        ),
        (["--debug", "doctor"], r"blurr: unrecognized arguments: --debug\. `blurr --help`"),
        (
            ["plan", "--do_train", "--bf16"],
            r"no flags '--do_train', '--bf16'\. Values .+: precision=bf16\. No key is like '--do_train'\.",
        ),
        (["plan", "--wandb"], r"no flag '--wandb'\. No key is like '--wandb'\. `"),
        (["plan", "--hydra.verbose=true"], r"without dashes: hydra\.verbose=true\. `"),
        (
            ["evaluate", "x", "a=b", "--batch_size", "8"],
            r"'--batch_size'\. Did you mean '--batch-size'\?",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistyped_flag_is_one_message(words, said):
    with pytest.raises(InputError, match=said):
        cli._call(words)


HABITS = {
    "--epochs 3": "schedule.epochs=3",
    "--epoch 3": "schedule.epochs=3",
    "--max_epochs 3": "schedule.epochs=3",
    "--numTrainEpochs 3": "schedule.epochs=3",
    "--lr 1e-4": "optimizer.lr=1e-4",
    "--learning-rate 1e-4": "optimizer.lr=1e-4",
    "--batch-size 8": "loader.batch_size=8",
    "--bs 8": "loader.batch_size=8",
    "--per_device_train_batch_size 8": "loader.batch_size=8",
    "--per_device_eval_batch_size 8": "loader.eval_batch_size=8",
    "--dataloader_num_workers 2": "loader.num_workers=2",
    "--model bart": "model=bart",
    "--model org/name": "model=auto model.name=org/name",
    "--model_name_or_path org/name": "model=auto model.name=org/name",
    "--data my.csv": "data=files data.train=my.csv",
    "--train_file my.csv": "data=files data.train=my.csv",
    "--validation_file my.csv": "data=files data.valid=my.csv",
    "--dataset_name imdb": "data=hub data.name=imdb",
    "--text_column review": "data.columns.text=review",
    "--label_column_name stars": "data.columns.label=stars",
    "--max_train_samples 100": "data.limit=100",
    "--max_seq_length 128": "task.max_length=128",
    "--label_smoothing_factor 0.1": "task.label_smoothing=0.1",
    "--weight_decay 0.1": "optimizer.weight_decay=0.1",
    "--warmup_ratio 0.1": "schedule=linear_warmup schedule.warmup=0.1",
    "--lr_scheduler_type cosine": "schedule=cosine",
    "--optim adafactor": "optimizer=adafactor",
    "--optim adamw_torch": "optimizer=adamw",
    "--lr_scheduler_type linear": "schedule=linear_warmup",
    "--lr_scheduler_type polynomial": None,
    "--task_name cola": None,
    "--gradient_checkpointing": "callbacks=[gradient_checkpointing]",
    "--gradient_accumulation_steps 4": ("callbacks=[gradient_accumulation] callbacks.gradient_accumulation.batches=4"),
    "--early_stopping_patience 4": "callbacks=[early_stopping] callbacks.early_stopping.patience=4",
    "--max_grad_norm 1": "optimizer.max_grad_norm=1",
    "--bf16": "precision=bf16",
    "--torch_compile": "compile=true",
    "--overwrite_output_dir": "overwrite=true",
    "--output_dir here": "output_dir=here",
    "--resume_from_checkpoint here": "resume=here",
    "--run_name mine": "tracking.run_name=mine",
    "--experiment_name mine": "tracking.experiment=mine",
    "--do_train": None,
    "--report_to wandb": None,
    "--max_steps 100": "schedule.steps=100",
    "--max_train_steps 100": "schedule.steps=100",
    "--eval_steps 100": None,
    "--warmup_steps 100": None,
    "--save_steps 100": "checkpoint.every_steps=100",
    "--metric_for_best_model eval_f1": "objective=valid/f1",
    "--load_best_model_at_end": "callbacks=[save_best]",
}


@pytest.mark.parametrize("flag", HABITS)
def test_flags_of_other_programs_are_translated(flag, work):
    name, _, value = flag.partition(" ")
    assert translated(name, value or None) == HABITS[flag]


def test_a_translation_regards_what_is_given_already(work):
    assert translated("--train_file", "my.csv", ["data=files"]) == "data.train=my.csv"
    assert translated("--max_target_length", "9", ["task=summarization"]) == "task.max_target_length=9"
    assert translated("--patience", "9", ["callbacks=[ema,early_stopping]"]) == "callbacks.early_stopping.patience=9"


@pytest.mark.slow
def test_every_translation_is_an_override_that_blurr_takes(work):
    for flag, found in HABITS.items():
        if found is not None and "here" not in flag:
            composing.compose(found.split())


def test_the_list_of_groups_has_no_stranger():
    text = paths.config_file().read_text()
    listed = [next(iter(each)) for each in yaml.safe_load(text)["defaults"] if isinstance(each, dict)]
    assert [group for group, *_ in paths.contents()] == [each for each in listed if "override" not in each]
