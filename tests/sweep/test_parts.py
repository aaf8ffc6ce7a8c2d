"""The parts of a sweep that need no process: what varies, the ledger, which trial is best, what is shown of it."""

import io
import json
import os
import pickle
import random
import re
import sqlite3
import sys
from contextlib import closing, redirect_stderr
from functools import partial

import optuna
import pytest
import yaml
from omegaconf import OmegaConf
from optuna.storages.journal import JournalFileBackend
from rich.console import Console

from blurr.cli import main
from blurr.config import paths
from blurr.config.building import build
from blurr.errors import InputError, ResourceError
from blurr.runs.folder import LEDGER
from blurr.sweep.board import Board
from blurr.sweep.configurations import Configuration, best, configurations_of
from blurr.sweep.export import experiment_yaml, note
from blurr.sweep.ledger import Ledger, Trial, locked
from blurr.sweep.objectives import Objective, constant, objectives_of
from blurr.sweep.proposals import Proposals
from blurr.sweep.resuming import expand
from blurr.sweep.run import sampler_for
from blurr.sweep.search import Search
from blurr.sweep.space import Axis, Space, is_own, parse


class Touch:
    """What a pickle runs when it is read."""

    def __reduce__(self):
        return os.system, ("touch was-here",)


def best_numbers(trials, objectives):
    return [number for each in best(configurations_of(trials), objectives) for number in each.numbers]


def configuration(number, point, values):
    return Configuration(point, (Trial(number, "", point, "finished", values=values),))


class TestSpace:
    """What a command line spans."""

    def test_words_are_parted_into_what_is_fixed_what_varies_and_what_is_the_sweeps(self):
        space = parse(["task=summarization", "a=1,2", "sweep=tpe", "sweep.workers=2", "~b", "+c=choice(x,y)"], None)
        assert space.fixed == ("task=summarization", "~b")
        assert space.axes == (Axis("a", ("1", "2")), Axis("+c", ("x", "y")))

    @pytest.mark.parametrize(
        ("word", "axis"),
        [
            ("a=interval(1,8)", Axis("a", low=1.0, high=8.0)),
            ("a=int(interval(1,8))", Axis("a", low=1, high=8)),
            ("a=tag(log,interval(1e-5,1e-3))", Axis("a", low=1e-5, high=1e-3, log=True)),
            ("a=range(1,10,3)", Axis("a", ("1", "4", "7"), low=1, high=7, step=3)),
            ("a=[1,2],[3]", Axis("a", ("[1,2]", "[3]"))),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_hydras_ways_to_say_several_values_are_understood(self, word, axis):
        assert parse([word], None).axes == (axis,)

    def test_a_range_of_no_values_is_refused(self):
        with pytest.raises(InputError, match=r"a=range\(3,3\): there is no value to try"):
            parse(["a=range(3,3)"], None)

    def test_the_grid_varies_the_last_key_fastest(self):
        points = parse(["a=1,2", "b=x,y"], None).grid()
        assert points[:2] == [{"a": "1", "b": "x"}, {"a": "1", "b": "y"}]
        assert len(points) == 4

    def test_a_seed_shuffles_the_grid_the_same_way_each_time(self):
        space = parse(["a=range(0,9)"], None)
        assert space.grid(1) == space.grid(1) != space.grid(2)
        assert sorted(space.grid(1), key=str) == space.grid()

    def test_samples_have_each_value_once_and_not_each_combination(self):
        assert len(list(parse(["a=1,2,3", "b=interval(0,1)"], None).samples())) == 1 + 2 + 1

    def test_a_trial_is_known_by_its_words_in_any_order(self):
        one, two = Space(("x=1", "y=2"), ()), Space(("y=2", "x=1"), ())
        assert one.identify({"a": "1"}) == two.identify({"a": "1"}) != one.identify({"a": "2"})

    @pytest.mark.parametrize(
        ("word", "own"),
        [("sweep=tpe", True), ("sweep.name=a", True), ("+sweep.x=1", True), ("sweeper=1", False), ("a.sweep=1", False)],
    )
    def test_what_is_about_the_sweep_is_known_by_its_key(self, word, own):
        assert is_own(word) == own


class TestLedger:
    """The file."""

    @pytest.fixture
    def ledger(self, tmp_path):
        ledger = Ledger(tmp_path)
        ledger.begin(name="mine", argv=["-m", "a=1,2"], words=["a=1,2"], weights="auto")
        ledger.begin(fixed=[], goals=[("valid/loss", "minimize")])
        ledger.begin(total=2)
        for number in range(2):
            ledger.propose(number, f"hash {number}", {"a": str(number)})
            ledger.start(number)
        ledger.report(0, 1, 0.5)
        ledger.end(0, "finished", values=[0.75], cpu=1.5, seconds=2.0)
        return ledger

    def test_what_is_read_is_what_was_written(self, ledger, tmp_path):
        again = Ledger(tmp_path)
        assert (again.head, again.trials) == (ledger.head, ledger.trials)
        assert again.trials[0] == Trial(
            0, "hash 0", {"a": "0"}, "finished", 1, values=[0.75], reports={1: 0.5}, cpu=1.5, seconds=2.0
        )
        assert again.trials[1].state == "running"

    @pytest.mark.parametrize("cut", [1, 10, 40])
    def test_a_last_line_that_a_kill_cut_off_is_passed_over(self, ledger, tmp_path, cut):
        file = tmp_path / LEDGER
        file.write_bytes(file.read_bytes()[:-cut])
        again = Ledger(tmp_path)
        assert again.trials[0].state == ("finished" if cut == 1 else "running")
        again.end(0, "finished", values=[0.5])
        assert Ledger(tmp_path).trials[0].values == [0.5]

    def test_any_flipped_bit_is_found(self, ledger, tmp_path):
        file, rng = tmp_path / LEDGER, random.Random(0)
        whole = file.read_bytes()
        for place in [
            *rng.sample(range(len(whole)), 60),
            len(whole) - 1,
            whole.index(b"\n"),
            whole.index(b'"sum"') + 2,
        ]:
            changed = bytearray(whole)
            changed[place] ^= 1 << rng.randrange(8)
            file.write_bytes(changed)
            with pytest.raises(InputError, match=r"Line \d+ of .* is not as it was written\. Put back a copy .*delete"):
                Ledger(tmp_path)
        file.write_bytes(whole)
        assert Ledger(tmp_path).trials == ledger.trials

    def test_what_follows_a_line_that_a_kill_cut_off_is_whole(self, ledger, tmp_path):
        file = tmp_path / LEDGER
        for cut in (1, 10, 40):
            file.write_bytes(file.read_bytes()[:-cut])
            Ledger(tmp_path).end(0, "finished", values=[cut])
            assert Ledger(tmp_path).trials[0].values == [cut]
            assert all(json.loads(line)["sum"] for line in file.read_bytes().split(b"\n")[:-1])

    def test_a_journal_of_an_earlier_version_is_read_as_it_is_and_gone_on_with(self, ledger, tmp_path):
        file = tmp_path / LEDGER
        lines = [json.loads(line) for line in file.read_bytes().split(b"\n")[:-1]]
        old = [json.dumps({key: value for key, value in line.items() if key != "sum"}) for line in lines]
        file.write_text("\n".join([*old, '{"event": "en', old[-1]]).replace('"sealed": true, ', ""))
        assert Ledger(tmp_path).trials == ledger.trials
        Ledger(tmp_path).end(1, "finished", values=[7.0])
        assert Ledger(tmp_path).trials[1].values == [7.0]

    def test_infinite_values_survive(self, ledger, tmp_path):
        ledger.end(1, "failed", values=[float("inf")])
        assert Ledger(tmp_path).trials[1].values == [float("inf")]

    def test_a_new_attempt_forgets_the_reports_of_the_last(self, ledger):
        ledger.start(0)
        assert (ledger.trials[0].attempts, ledger.trials[0].reports) == (2, {})

    def test_a_sweep_that_is_running_is_not_run_twice(self, tmp_path, monkeypatch):
        monkeypatch.setattr("blurr.sweep.ledger.LOCK_SECONDS", 0.2)
        with locked(tmp_path), pytest.raises(InputError, match="is running in another process"), locked(tmp_path):
            pass


class TestProposals:
    """The trials of a grid, and what Optuna makes of their reports."""

    SPACE = parse(["a=range(0,6)"], None)

    @pytest.fixture
    def ledger(self, tmp_path):
        return Ledger(tmp_path)

    def test_each_point_is_tried_once_though_the_order_is_another_after_a_stop(self, ledger):
        for shuffle, count in ((None, 2), (1, 4), (2, 7)):
            proposals = Proposals(self.SPACE, total=count, grid=self.SPACE.grid(shuffle), search=None)
            proposals.follow(ledger)
            while proposals.next(ledger):
                pass
        assert sorted(trial.point["a"] for trial in ledger.trials.values()) == list("012345")

    def searched(self, pruner):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optuna.logging, "set_verbosity", lambda level: None)
            return Search(self.SPACE, directions=["minimize"], pruner=pruner)

    def test_a_journal_file_keeps_the_search_where_optuna_finds_it(self, ledger, tmp_path):
        storage = f"journal:///{tmp_path}/optuna.log"
        for count in (1, 2):
            search = Search(self.SPACE, directions=["minimize"], storage=storage, name="mine")
            search.follow(ledger)
            trial = ledger.propose(count - 1, str(count), {"a": str(count)})
            search.add(trial)
            ledger.end(trial.number, "finished", values=[float(count)])
            search.tell(trial)
        kept = optuna.storages.JournalStorage(JournalFileBackend(f"{tmp_path}/optuna.log"))
        assert [trial.values for trial in optuna.load_study(study_name="mine", storage=kept).trials] == [[1.0], [2.0]]

    def test_what_others_have_put_into_a_storage_is_never_unpickled(self, ledger, work):
        optimizer = pickle.dumps(Touch()).hex()
        storage = f"sqlite:///{work}/optuna.db"
        study = optuna.create_study(study_name="mine", storage=storage)
        lr = {
            "lr": optuna.distributions.FloatDistribution(0.0, 1.0),
            "wd": optuna.distributions.FloatDistribution(0.0, 1.0),
        }
        for number in range(2):
            attributes = {"cma:optimizer:0": optimizer, "cma:generation": 0}
            params = {"lr": 0.5, "wd": 0.5}
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=lr, value=1.0, system_attrs=attributes)
            )
            trial = ledger.propose(number, str(number), {key: str(value) for key, value in params.items()})
            ledger.end(trial.number, "finished", values=[1.0])
        search = self.evolving(storage=storage, name="mine")
        search.follow(ledger)
        self.tried(ledger, search, 3)
        assert not list(work.rglob("was-here"))
        assert [trial.state.name for trial in study.trials] == 5 * ["COMPLETE"]

    def evolving(self, **options):
        """A search whose sampler keeps its state in attributes of the trials."""
        space = parse(["lr=interval(0,1)", "wd=interval(0,1)"], None)
        node = OmegaConf.merge(OmegaConf.load(paths.options("sweep")["cmaes"]), {"sampler": {"seed": 3}})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optuna.logging, "set_verbosity", lambda level: None)
            return Search(space, directions=["minimize"], sampler=partial(sampler_for, node), **options)

    @pytest.mark.parametrize("storage", [None, "sqlite:///optuna.db"], ids=["memory", "storage"])
    def test_evolution_proposes_the_same_after_a_stop_as_without_one(self, ledger, work, storage):
        whole = self.tried(ledger, self.evolving(), 20)
        (work / "cut").mkdir()
        Ledger(work / "cut").begin(
            name="cut", argv=[], words=[], weights="auto", fixed=[], goals=[("valid/loss", "minimize")], total=20
        )
        cut = []
        for count in (7, 6, 7):
            again = Ledger(work / "cut")
            search = self.evolving(storage=storage, name="cut")
            search.follow(again)
            cut += self.tried(again, search, count)
        assert cut == whole
        assert len({point["lr"] for point in whole}) == 20

    def tried(self, ledger, search, count):
        """Run so many more trials; return what was proposed."""
        points = []
        for number in range(len(ledger.trials), len(ledger.trials) + count):
            points.append(search.ask(number))
            trial = ledger.propose(number, str(number), points[-1])
            search.add(trial)
            ledger.end(number, "finished", values=[(float(points[-1]["lr"]) - 0.3) ** 2 + float(points[-1]["wd"])])
            search.tell(trial)
        return points

    def test_a_storage_that_optuna_cannot_use_is_named(self):
        with pytest.raises(InputError, match=r"sweep\.storage=nosuch://x: Optuna cannot use this"):
            Search(self.SPACE, directions=["minimize"], storage="nosuch://x")

    def test_a_storage_that_cannot_be_reached_is_a_failure_of_the_service(self, tmp_path):
        with pytest.raises(ResourceError, match=r"sweep\.storage=sqlite.* cannot be used: .*sweep\.resume=mine"):
            Search(self.SPACE, directions=["minimize"], storage=f"sqlite:///{tmp_path}/no/x.db", name="mine")

    def test_a_storage_that_is_lost_while_the_sweep_runs_is_one_too(self, ledger, tmp_path):
        search = Search(self.SPACE, directions=["minimize"], storage=f"sqlite:///{tmp_path}/x.db", name="mine")
        trial = ledger.propose(0, "0", {"a": "1"})
        search.add(trial)
        with closing(sqlite3.connect(tmp_path / "x.db")) as database, database:
            database.execute("drop table trials")
        ledger.end(0, "finished", values=[1.0])
        with pytest.raises(ResourceError, match=r"no such table: trials.*go on with sweep\.resume=mine"):
            search.tell(trial)

    @pytest.mark.parametrize("storage", ["sqlite:///optuna.db", "journal:///optuna.log"])
    def test_a_storage_that_another_program_changes_is_named(self, ledger, work, storage):
        search = Search(self.SPACE, directions=["minimize"], storage=storage, name="mine")
        trial = ledger.propose(0, "0", {"a": "1"})
        search.add(trial)
        search._storage._study.tell(0, 3.0)
        ledger.end(0, "finished", values=[1.0])
        with pytest.raises(
            InputError, match=r"Another program has changed the study 'mine' in sweep\.storage=.*Cannot"
        ):
            search.tell(trial)

    def report(self, ledger, search, trial, *values):
        """Report until the trial is to be pruned; say whether it was."""
        ledger.start(trial.number)
        for step, value in enumerate(values, 1):
            ledger.report(trial.number, step, value)
            if search.is_to_be_pruned(trial.number, step, value):
                ledger.end(trial.number, "pruned")
                break
        else:
            ledger.end(trial.number, "finished", values=values[-1:])
        search.tell(trial)
        return trial.state == "pruned"

    @pytest.mark.filterwarnings("ignore:PatientPruner is experimental")  # for the last eight versions of it
    @pytest.mark.parametrize("file", paths.options("sweep/pruner").values(), ids=lambda file: file.stem)
    def test_a_pruner_stops_the_worst_also_when_the_sweep_was_stopped_before(self, ledger, file):
        pruner = build(OmegaConf.load(file))
        search = self.searched(pruner)
        for number in range(5):
            trial = ledger.propose(number, str(number), {"a": str(number)})
            search.add(trial)
            assert not self.report(ledger, search, trial, *(5.0 - number - 0.1 * step for step in range(6)))
        again = self.searched(pruner)
        again.follow(ledger)
        trial = ledger.propose(5, "5", {"a": "5"})
        again.add(trial)
        assert self.report(ledger, again, trial, *(9.0 + step for step in range(6)))


class TestGoals:
    """Objectives, and the best of trials."""

    @pytest.mark.parametrize(
        ("objective", "target", "direction"),
        [
            ("valid/loss", "", "minimize"),
            ("time/epoch", "", "minimize"),
            ("valid/m", "blurr.metrics.classification.Accuracy", "maximize"),
            ("valid/m", "blurr.metrics.regression.RMSE", "minimize"),
            ("valid/m", "blurr.text.language_modeling.metrics.Perplexity", "minimize"),
            ("valid/m", "torchmetrics.MeanSquaredError", "minimize"),
            ("valid/m", "torchmetrics.classification.BinaryF1Score", "maximize"),
            ("valid/nothing", "blurr.metrics.regression.RMSE", "maximize"),
        ],
    )
    def test_a_metric_says_which_way_it_is_better(self, objective, target, direction):
        cfg = OmegaConf.create({"objective": objective, "metrics": {"m": {"_target_": target}}})
        assert objectives_of(cfg, "auto") == [Objective(objective, direction)]

    def test_a_metric_that_does_not_say_is_asked_for(self):
        cfg = OmegaConf.create({"objective": "valid/m", "metrics": {"m": {"_target_": "torchmetrics.MeanMetric"}}})
        with pytest.raises(InputError, match="Set sweep.direction=minimize or sweep.direction=maximize"):
            objectives_of(cfg, "auto")
        assert objectives_of(cfg, "minimize") == [Objective("valid/m", "minimize")]

    def finished(self, *values):
        return [Trial(i, "", {}, "finished", values=list(each)) for i, each in enumerate(values)]

    def test_the_best_is_the_first_of_the_best_by_the_direction(self):
        trials = [*self.finished([2.0], [1.0], [1.0]), Trial(3, "", {}, "pruned", values=[0.0])]
        assert best_numbers(trials, [Objective("a", "minimize")]) == [1]
        assert best_numbers(trials, [Objective("a", "maximize")]) == [0]
        assert best_numbers(trials[3:], [Objective("a", "minimize")]) == []

    def test_of_several_objectives_those_are_best_that_no_other_beats(self):
        trials = self.finished([1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [0.5, 0.5], [3.0, 3.5])
        objectives = [Objective("a", "maximize"), Objective("b", "minimize")]
        assert best_numbers(trials, objectives) == [0, 1, 2, 3]


class TestExpand:
    """Command lines that go on with a sweep."""

    @pytest.fixture
    def folder(self, work):
        folder = work / "multirun" / "mine"
        folder.mkdir(parents=True)
        Ledger(folder).begin(name="mine", argv=["-m", "a=1,2", "sweep.workers=2"], words=["a=1,2"], weights="auto")
        return folder

    @pytest.mark.parametrize("place", ["mine", "multirun/mine"], ids=["name", "folder"])
    def test_the_words_of_the_beginning_come_first_and_later_ones_win(self, folder, place):
        words = expand([f"sweep.resume={place}", "sweep.workers=4"])
        assert words == [
            *("-m", "a=1,2", "sweep.workers=4", "sweep.name=mine"),
            f"hydra.sweep.dir='{folder}'",
        ]

    def test_other_command_lines_stay_as_they_are(self):
        assert expand(["task=summarization", "sweep.resume=null"]) == ["task=summarization", "sweep.resume=null"]

    def test_a_number_of_retries_is_quoted_for_hydra(self):
        assert expand(["sweep.on_failure=retry(2)"]) == ["sweep.on_failure='retry(2)'"]


class TestExport:
    """The YAML that runs a trial again."""

    def test_options_are_defaults_and_values_are_nested(self, tmp_path):
        ledger = Ledger(tmp_path)
        fixed = ["task=summarization", "output_dir=x", "tracking=none", "experiments=base", "+a.b=[1,2]", "~c"]
        ledger.begin(name="mine", fixed=fixed, weights="scratch", goals=[["valid/rougeL", "maximize"]])
        text = experiment_yaml(ledger, configuration(3, {"model": "t5", "optimizer.lr": "0.01"}, [0.5]))
        assert text.startswith("# @package _global_\n# Trial 3 of the sweep mine: valid/rougeL 0.5.\n")
        assert "since a file cannot delete a key: ~c" in text
        assert yaml.safe_load(text) == {
            "defaults": ["base", {"override /task": "summarization"}, {"override /model": "t5"}],
            "a": {"b": [1, 2]},
            "optimizer": {"lr": 0.01},
            "model": {"weights": "scratch"},
        }

    def test_what_a_ledger_says_stays_in_its_comment(self, tmp_path):
        evil = "x\ncallbacks: {y: {_target_: os.system}}\u2028z: 1\x85z: 2"
        ledger = Ledger(tmp_path)
        fixed = ["~c='a\nb: 3'", "seed=3", "sweep.storage=sqlite:///elsewhere.db", "tracking@x=server"]
        ledger.begin(name=evil, fixed=fixed, weights="auto", goals=[[f"valid/{evil}", "maximize"]])
        assert yaml.safe_load(experiment_yaml(ledger, configuration(0, {}, [0.5]))) == {"seed": 3}

    @pytest.mark.parametrize(
        ("head", "match"),
        [
            ({"fixed": ["+callbacks.x={_target_: os.system}"]}, "not among what a file may have blurr make.*--trust"),
            ({"fixed": ["+tracking.tags.x=${oc.env:HOME}"]}, None),
            ({"fixed": ["+data.x='${oc.env:HOME}'"]}, "which is looked up elsewhere"),
            ({"fixed": ["+a='$'", "+b='{oc.env:HOME}'", "+c='${a}${b}'"]}, "which is looked up elsewhere"),
            ({"weights": "${oc.env:HOME}"}, "which is none of auto, pretrained, scratch"),
        ],
        ids=["code", "where it is recorded", "the environment", "two pieces", "weights"],
    )
    @pytest.mark.parametrize("command", ["best", "export"])
    def test_nothing_that_is_not_the_experiments_becomes_the_users_own(self, work, monkeypatch, command, head, match):
        ledger = Ledger(work)
        fit = {"name": "mine", "fixed": [], "weights": "auto", "goals": [["valid/f1", "maximize"]], "total": 1}
        ledger.begin(argv=[], words=[], **fit | head)
        ledger.propose(0, "0", {"seed": "3"})
        ledger.end(0, "finished", values=[0.5])
        monkeypatch.setattr(sys, "argv", ["blurr", "sweep", command, str(work)])
        with pytest.raises(SystemExit) as ended, redirect_stderr(io.StringIO()) as said:
            main()
        assert (ended.value.code, bool(re.search(match or r"^\nnext\n(?:  .+\n)+$", said.getvalue()))) == (
            2 if match else 0,
            True,
        )
        assert (work / "experiments" / "best.yaml").exists() == (command == "export" and match is None)

    def test_the_file_composes_to_what_the_words_do(self, work):
        from blurr.config import composing

        ledger = Ledger(work)
        fixed = ["task=summarization", "metrics=[rouge1]", "schedule.epochs=3"]
        ledger.begin(name="mine", fixed=fixed, weights="auto", goals=[["valid/rouge1", "maximize"]])
        point = {"model": "t5", "optimizer.lr": "0.01"}
        (work / "experiments").mkdir()
        (work / "experiments" / "best.yaml").write_text(experiment_yaml(ledger, configuration(0, point, [0.5])))
        said = composing.compose(["experiments=best", "output_dir=x"])
        meant = composing.compose([*fixed, "model=t5", "optimizer.lr=0.01", "output_dir=x"])
        for key in ("task", "model", "metrics", "schedule", "optimizer", "data", "objective"):
            assert said[key] == meant[key]


class TestBoard:
    """What is shown."""

    def show(self, *, width=100, terminal=False):
        console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)
        return Board([Objective("valid/f1", "maximize")], total=4, workers=2, console=console), console.file

    @pytest.fixture
    def ledger(self, tmp_path):
        ledger = Ledger(tmp_path)
        for number in range(3):
            ledger.propose(number, str(number), {"a": f"value {number}"})
            ledger.start(number)
        ledger.end(0, "finished", values=[0.75], seconds=10.0)
        ledger.end(1, "failed", reason="died of SIGSEGV", details="one\ntwo\n", seconds=10.0)
        ledger.report(2, 1, 0.25)
        return ledger

    def test_the_closing_table_has_each_trial_and_what_went_wrong(self, ledger):
        board, out = self.show()
        board.close(ledger)
        shown = out.getvalue()
        assert "value 0  finished  0.75" in shown
        assert "trial 1 failed: died of SIGSEGV\n  one\n  two\n" in shown
        assert "best by valid/f1: trial 0 (0.75)" in shown
        assert "waiting   0.25" in shown

    def test_the_live_table_says_how_long_it_will_take(self, ledger):
        board, out = self.show(terminal=True)
        with board.shown():
            board.show(ledger, {2: float("inf")})
        assert "2 of 4 trials, best valid/f1 0.75 (trial 0), about 0:00:10 left" in out.getvalue()
        assert "waiting" in out.getvalue()

    def test_the_live_table_says_that_no_trial_has_a_process_yet(self, tmp_path):
        ledger = Ledger(tmp_path)
        ledger.propose(0, "0", {"a": "1"})
        board, out = self.show(terminal=True)
        with board.shown():
            board.show(ledger, {0: float("inf")})
        assert "0 of 4 trials, loading what they need" in out.getvalue()
        assert "waiting" in out.getvalue()

    def test_without_a_terminal_a_line_is_written_for_each_trial_that_ends(self, ledger):
        board, out = self.show()
        with board.shown():
            board.say(ledger.trials[0])
            board.say(ledger.trials[1])
        assert out.getvalue() == "trial 0 finished: 0.75  a=value 0\ntrial 1 failed: died of SIGSEGV  a=value 1\n"


class TestValuesThatAreNoNumbers:
    """A trial whose objective is NaN has finished, and is never the best; equal trials have no best."""

    def finished(self, *values):
        return [Trial(i, "", {}, "finished", values=[each]) for i, each in enumerate(values)]

    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_it_is_never_the_best(self, direction):
        trials = self.finished(float("nan"), 1.0, float("nan"))
        assert best_numbers(trials, [Objective("a", direction)]) == [1]
        assert best_numbers(trials[:1], [Objective("a", direction)]) == []

    def test_an_objective_that_is_the_same_in_all_trials_is_said_to_tell_nothing(self):
        (line,) = constant(self.finished(0.5, 0.5, 0.5), [Objective("valid/f1", "maximize")])
        assert line == "valid/f1 is 0.5 in all 3 trials, so that none of them is the best"
        assert constant(self.finished(0.5, 0.6), [Objective("valid/f1", "maximize")]) == []
        assert constant(self.finished(0.5), [Objective("valid/f1", "maximize")]) == []
        assert "**Worth nothing:** valid/f1 is 0.5" in note(
            self.finished(0.5, 0.5), [Objective("valid/f1", "maximize")]
        )

    def test_a_note_lists_it_last(self):
        table = note(self.finished(float("nan"), 1.0, 2.0), [Objective("a", "maximize")])
        assert [line.split(" | ")[0] for line in table.splitlines()[-3:]] == ["| 2", "| 1", "| 0"]
