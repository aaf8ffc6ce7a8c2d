"""Trials that differ in a seed or fold alone are one configuration: its mean counts, not its luckiest seed."""

import io
import json
from functools import partial

import numpy as np
import optuna
import pytest
import yaml
from ledgers import ACCURACY, BOTH, LUCKY, ledger_of, trials_of
from omegaconf import OmegaConf
from rich.console import Console

from blurr.cli import main
from blurr.config import paths
from blurr.sweep.board import Board
from blurr.sweep.configurations import best, configurations_of, not_compared
from blurr.sweep.export import experiment_yaml, note
from blurr.sweep.ledger import Ledger, Trial
from blurr.sweep.objectives import Objective
from blurr.sweep.proposals import Proposals
from blurr.sweep.run import sampler_for
from blurr.sweep.search import Search, study_of_means
from blurr.sweep.space import parse


def printed(ledger, objectives=ACCURACY, width=80, **options):
    out = io.StringIO()
    Board(objectives, 4, 1, Console(file=out, width=width)).close(ledger, **options)
    return out.getvalue()


@pytest.mark.parametrize("key", ["seed", "data.splits.fold", "+data.splits.seed"])
def test_the_best_mean_wins_over_the_luckiest_seed(key):
    found = configurations_of(trials_of(LUCKY, key))
    assert [each.point for each in found] == [{"optimizer.lr": "1e-4"}, {"optimizer.lr": "3e-4"}]
    (winner,) = best(found, ACCURACY)
    assert (winner.point, winner.numbers) == ({"optimizer.lr": "1e-4"}, [0, 1])
    assert winner.means == [pytest.approx(np.mean([0.80, 0.82]))]
    assert winner.deviations == [pytest.approx(np.std([0.80, 0.82], ddof=1))]
    assert winner.said() == "0.81 ± 0.014, n=2"


def test_fewer_finished_repetitions_do_not_win_and_are_named():
    rows = [("1e-4", "1", [0.80]), ("1e-4", "2", [0.82]), ("3e-4", "1", [0.95]), ("3e-4", "2", []), ("1", "1", None)]
    found = configurations_of(trials_of(rows))
    assert best(found, ACCURACY)[0].numbers == [0, 1]
    assert [each.said() for each in not_compared(found, ACCURACY)] == ["0.95, 1 of 2"]
    assert not_compared(found, [Objective("valid/accuracy", "minimize")]) == []


def test_of_several_objectives_the_means_decide_what_no_other_one_beats():
    rows = [
        *(("a", "1", [0.9, 1.0]), ("a", "2", [0.7, 3.0])),  # 0.8, 2.0
        *(("b", "1", [0.7, 1.0]), ("b", "2", [0.7, 1.0])),  # 0.7, 1.0
        *(("c", "1", [0.99, 3.0]), ("c", "2", [0.5, 3.0])),  # 0.745, 3.0: the best single seed, and beaten by a
    ]
    assert [each.point["optimizer.lr"] for each in best(configurations_of(trials_of(rows)), BOTH)] == ["a", "b"]


def test_the_same_seed_twice_is_one_repetition():
    trials = trials_of([("1e-4", "1", [0.8]), ("1e-4", "1", [0.8]), ("1e-4", "2", [0.9])])
    trials[1].twin = 0
    (only,) = configurations_of(trials)
    assert (only.count, only.numbers) == ("2", [0, 2])


def test_without_seeds_a_sweep_is_as_it_was(tmp_path):
    trials = [Trial(i, str(i), {"optimizer.lr": str(i)}, "finished", values=[i / 10]) for i in range(3)]
    assert [each.numbers for each in configurations_of(trials)] == [[0], [1], [2]]
    assert best(configurations_of(trials), ACCURACY)[0].numbers == [2]


def test_the_closing_table_has_a_row_for_a_configuration_and_on_demand_one_for_each_trial(tmp_path):
    ledger = ledger_of(tmp_path / "a", [*LUCKY[:3], ("3e-4", "2", [])])
    text = printed(ledger)
    rows = [line.split() for line in text.splitlines()]
    assert ["trials", "lr", "n", "state", "valid/accuracy", "seconds"] in rows
    assert ["0-1", "1e-4", "2", "finished", "0.81", "±", "0.014"] in rows
    assert ["2-3", "3e-4", "1", "of", "2", "1", "finished,", "1", "failed", "0.95"] in rows
    assert "mean ± standard deviation over seed=1,2" in text
    assert "best by valid/accuracy: lr=1e-4, trials 0-1 (0.81 ± 0.014, n=2)" in text
    assert "not compared, since fewer have finished: lr=3e-4 (0.95, 1 of 2)" in text
    each = [line.split() for line in printed(ledger, by_trial=True).splitlines()]
    assert ["2", "3e-4", "1", "finished", "0.95"] in each


def test_the_live_table_has_configurations_while_some_of_their_seeds_run(tmp_path):
    ledger = ledger_of(tmp_path / "a", LUCKY[:1])
    ledger.propose(1, "1", {"optimizer.lr": "1e-4", "seed": "2"})
    ledger.start(1)
    out = io.StringIO()
    board = Board(ACCURACY, 4, 1, Console(file=out, width=100, force_terminal=True, force_interactive=True))
    with board.shown():
        board.show(ledger, {1: 0.0})
    assert "1 finished, 1 running" in out.getvalue()
    assert "0-1" in out.getvalue()


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a command of `blurr`, and return what it prints."""

    def called(*words):
        monkeypatch.setattr("sys.argv", ["blurr", *words])
        with pytest.raises(SystemExit, match="0"):
            main()
        return capsys.readouterr().out

    return called


def test_the_commands_show_the_mean_and_write_the_configuration_without_the_seed(work, call):
    ledger_of(work / "multirun" / "a", LUCKY)
    assert "0-1: valid/accuracy 0.81 ± 0.014" in call("sweep", "ls")
    said = call("sweep", "best")
    assert "valid/accuracy 0.81 ± 0.014\nmean ± standard deviation over seed=1,2, n=2" in said
    assert f"trial 1, in {work / 'multirun' / 'a' / '1'}" in said
    assert "blurr run task=summarization optimizer.lr=1e-4\n" in said
    assert "seed left out: the base config's counts" in call("sweep", "export")
    text = (work / "experiments" / "best.yaml").read_text()
    assert "# Trials 0, 1 of the sweep a: valid/accuracy 0.81 ± 0.014 (mean ± standard deviation, n=2)." in text
    assert "# They differ in seed=1,2, which stands nowhere here: the base config's counts." in text
    assert "seed" not in yaml.safe_load(text)
    assert yaml.safe_load(text)["optimizer"] == {"lr": 1e-4}


def test_an_export_of_one_trial_says_what_it_said(tmp_path):
    ledger = ledger_of(tmp_path / "a", [("1e-4", "7", [0.8])])
    (only,) = configurations_of(ledger.trials.values())
    assert "seed" not in yaml.safe_load(experiment_yaml(ledger, only))


def test_the_page_in_mlflow_ranks_configurations_by_their_mean():
    text = note(trials_of([*LUCKY, ("1", "1", [0.99])]), ACCURACY)
    assert "Mean ± standard deviation over seed=1,2" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()[-3:]]
    assert [row[:3] for row in rows] == [["0, 1", "1e-4", "2"], ["2, 3", "3e-4", "2"], ["4", "1", "1"]]
    assert rows[0][3] == "0.81 ± 0.014"


class TestSearch:
    """A search proposes configurations, each of which is run with all seeds."""

    WORDS = ("optimizer.lr=tag(log,interval(1e-5,1e-3))", "loader.batch_size=8,16", "seed=1,2")

    def value(self, point):
        return float(point["optimizer.lr"]) * 1e3 + (0.3 if point["seed"] == "1" else 0.1)

    def search_of(self, space, sampler, **options):
        node = OmegaConf.load(paths.options("sweep")[sampler])
        node.sampler.seed = 3
        if sampler == "cmaes":
            node.sampler.n_startup_trials = 2
        options = {"sampler": partial(sampler_for, node), "repeats": space.repetitions(), **options}
        return Search(space, directions=["maximize"], **options)

    def run(self, folder, sampler, *, stops=(), total=12):
        """Run a search, and begin anew from its ledger where it stops; return its points and the study."""
        folder.mkdir()
        space, begun = parse(list(self.WORDS), None), Ledger(folder)
        begun.begin(name="a", argv=[], words=[], weights="auto", fixed=[], goals=[["a", "maximize"]], total=total)
        for until in (*stops, total):
            ledger = Ledger(folder)
            search = self.search_of(space, sampler)
            proposals = Proposals(space, total=total, grid=None, search=search, repeats=space.repetitions())
            again = proposals.follow(ledger)
            while len(ledger.trials) < until or again:
                trial = again.pop() if again else proposals.next(ledger)
                if trial is None:
                    break
                ledger.start(trial.number)
                ledger.end(trial.number, "finished", values=[self.value(trial.point)])
                proposals.tell(trial, ledger)
        return [trial.point for trial in ledger.trials.values()], search

    @pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
    def test_each_proposal_is_run_with_every_seed_and_the_sampler_gets_the_mean(self, tmp_path, sampler):
        points, search = self.run(tmp_path / "a", sampler)
        assert len(points) == 12
        assert [point["seed"] for point in points] == ["1", "2"] * 6
        assert all({**a, "seed": ""} == {**b, "seed": ""} for a, b in zip(points[::2], points[1::2], strict=True))
        told = [trial.value for trial in search._proposing.get_trials()]
        assert told == [pytest.approx(np.mean([self.value(p) for p in points[i : i + 2]])) for i in range(0, 12, 2)]
        assert all("seed" not in trial.params for trial in search._proposing.get_trials())
        assert all("seed" in trial.params for trial in search.study.get_trials())

    @pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
    def test_a_search_that_is_stopped_within_a_configuration_proposes_what_it_would_have(self, tmp_path, sampler):
        whole, _ = self.run(tmp_path / "whole", sampler)
        parts, _ = self.run(tmp_path / "parts", sampler, stops=(3, 6, 9))
        assert parts == whole

    def test_an_earlier_versions_search_goes_on_with_the_seed_as_one_of_its_keys(self, tmp_path):
        from blurr.sweep.run import repetitions_of
        from blurr.sweep.settings import Settings

        space = parse(list(self.WORDS), None)
        settings = Settings(executor={}, name="a", trials=4, sampler={"x": 1})
        assert repetitions_of(space, Ledger(tmp_path), settings) == [{"seed": "1"}, {"seed": "2"}]
        old = ledger_of(tmp_path / "old", LUCKY)
        assert repetitions_of(space, old, settings) == [{}]
        assert repetitions_of(space, ledger_of(tmp_path / "new", LUCKY, repetitions=2), settings) == space.repetitions()
        assert repetitions_of(space, Ledger(tmp_path), Settings(executor={}, name="a")) == [{}]

    def test_the_number_of_trials_counts_every_training(self, tmp_path):
        space = parse(list(self.WORDS), None)
        totals = [
            Proposals(space, total=n, grid=None, search=None, repeats=space.repetitions()).total for n in (1, 2, 5, 30)
        ]
        assert totals == [2, 2, 4, 30]

    def test_where_seeds_alone_vary_or_come_from_an_interval_nothing_is_repeated(self):
        assert parse(["seed=1,2"], None).repetitions() == [{}]
        assert parse(["a=1,2", "seed=int(interval(1,9))"], None).repetitions() == [{}]
        assert len(parse(["a=1,2", "seed=1,2", "data.splits.fold=0,1,2"], None).repetitions()) == 6

    @pytest.mark.parametrize(
        ("ends", "state"),
        [
            ([("finished", [1.0]), ("failed", [])], optuna.trial.TrialState.COMPLETE),
            ([("failed", []), ("failed", [])], optuna.trial.TrialState.FAIL),
            ([("finished", [1.0]), ("pruned", [0.5])], optuna.trial.TrialState.PRUNED),
        ],
        ids=["one failed", "all failed", "one pruned"],
    )
    def test_what_the_sampler_is_told_of_failed_and_pruned_repetitions(self, tmp_path, ends, state):
        space, ledger = parse(list(self.WORDS), None), Ledger(tmp_path)
        ledger.begin(name="a", argv=[], words=[], weights="auto", fixed=[], goals=[["a", "maximize"]], total=2)
        search = self.search_of(space, "tpe")
        proposals = Proposals(space, total=2, grid=None, search=search, repeats=space.repetitions())
        for how, values in ends:
            trial = proposals.next(ledger)
            ledger.start(trial.number)
            ledger.end(trial.number, how, values=values)
            proposals.tell(trial, ledger)
        assert [trial.state for trial in search._proposing.get_trials()] == [state]

    def test_the_plots_show_means(self):
        space = parse(["optimizer.lr=1e-4,3e-4", "seed=1,2"], None)
        trials = trials_of([(f"{float(lr)}", seed, values) for lr, seed, values in LUCKY])
        study = study_of_means(space, configurations_of(trials), ["maximize"])
        assert [trial.value for trial in study.get_trials()] == [pytest.approx(0.81), pytest.approx(0.75)]
        assert study.best_params == {"optimizer.lr": "0.0001"}


@pytest.mark.slow
def test_a_grid_with_seeds_is_run_and_its_best_mean_is_that_of_what_the_trials_wrote(sweeping):
    words = ("optimizer.lr=0.1,0.2", "seed=1,2,3", "sweep.workers=2")
    done = sweeping.sweep(*words, FATE_3="raise")
    out, _ = done.communicate()
    ledger = sweeping.ledger()
    files = [sweeping.folder / "multirun" / "a" / str(n) / "metrics.json" for n in (3, 4)]
    scores = [json.loads(file.read_text())["valid/accuracy"] for file in files]
    assert (
        f"best by valid/accuracy: lr=0.2, trials 3-4 ({np.mean(scores):.4g} ± {np.std(scores, ddof=1):.2g}, 2 of 3)"
        in out
    )
    assert ledger.head["best"] == [3, 4]
    assert "optimizer:\n  lr: 0.2" in (ledger.folder / "best.yaml").read_text()
