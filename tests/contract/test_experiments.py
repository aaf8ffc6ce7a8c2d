"""Contract: every experiment composes, trains a checkpoint, and stands in the README as its file says."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from benchmarks import experiments
from blurr.config import checks, composing, paths
from blurr.config.composing import HydraConfig

EXPERIMENTS = sorted(file.stem for file in paths.shipped_folder(paths.EXPERIMENTS).glob("*.yaml"))


@pytest.fixture(params=EXPERIMENTS)
def composed(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, composing.compose([f"experiments={request.param}"])


def test_an_experiment_composes_passes_the_checks_and_is_pretrained(composed: tuple[str, Any]):
    name, cfg = composed
    checks.check(cfg)
    assert cfg.model.weights == "pretrained"
    assert cfg.data._target_ == "blurr.data.hub.load_hub", "public data by its Hub id"
    text = (paths.shipped_folder(paths.EXPERIMENTS) / f"{name}.yaml").read_text()
    assert f"# blurr run experiments={name}\n" in text
    chosen = OmegaConf.to_container(HydraConfig.get().runtime.choices)
    asked = [line.split("/")[1].split(": ") for line in text.splitlines() if "- override /" in line]
    assert all(str(chosen[group]) == option for group, option in asked if not option.startswith("["))


def test_the_table_in_the_readme_is_the_one_that_the_command_prints():
    readme = (Path(__file__).parents[2] / "experiments" / "README.md").read_text()
    assert experiments.table() in readme


def test_the_imdb_experiment_is_the_one_of_blurr_1():
    cfg = composing.compose(["experiments=imdb_bert"])
    assert (cfg.model.name, cfg.data.name) == ("google-bert/bert-base-uncased", "stanfordnlp/imdb")
    assert (cfg.schedule.epochs, cfg.schedule.freeze, cfg.optimizer.lr) == (3, True, 1e-3)


def test_an_experiment_without_its_header_is_named(tmp_path: Path):
    file = tmp_path / "mine.yaml"
    file.write_text("# @package _global_\n# A claim.\nschedule: {epochs: 1}\n")
    with pytest.raises(ValueError, match="must open with its package, its claim, its command and its result"):
        experiments._row(file)
