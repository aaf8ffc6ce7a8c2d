"""Run one sweep, from its command line to its closing table."""

import logging
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from blurr.config.building import build
from blurr.config.checks import check_part
from blurr.config.destinations import check_borrowed
from blurr.config.explain import CRASH
from blurr.config.objectives import fitted_as_said
from blurr.config.trust import key_of
from blurr.data.checks import check
from blurr.errors import InputError, dispensable, how_to_install, writing
from blurr.process import signals
from blurr.process.next_steps import command
from blurr.process.terminal import rest
from blurr.runs.asides import scratch
from blurr.runs.folder import PRECISION, make_room, new_identity
from blurr.runs.secrets import mask_overrides
from blurr.sweep.board import Board
from blurr.sweep.configurations import Configuration, best, configurations_of
from blurr.sweep.export import experiment_yaml, note
from blurr.sweep.keeping import free
from blurr.sweep.ledger import Ledger, locked
from blurr.sweep.objectives import Objective, constant, objectives_of
from blurr.sweep.proposals import Proposals
from blurr.sweep.resuming import check_weights
from blurr.sweep.scheduler import Scheduler
from blurr.sweep.settings import Settings
from blurr.sweep.space import Point, Space, is_own, parse
from blurr.sweep.trial import Context
from blurr.tracking.run import Run
from blurr.tracking.sink import IDENTITY_TAG
from blurr.tracking.summary import show_place

log = logging.getLogger(__name__)


def run_sweep(overrides: Sequence[str], context: Context) -> None:
    """Run a sweep, or the remaining trials of a resumed one.

    Args:
        overrides: the command line, without what is for Hydra itself.
        context: composes and runs a trial.

    Raises:
        InputError: the user made a mistake. It is found before any trial starts, or every trial failed on it.
        SystemExit: with code 1, if a trial failed.
    """
    check_part("sweep", context.config.sweep)
    check_borrowed({"sweep": OmegaConf.to_container(context.config.sweep, resolve=True)})
    settings: Settings = build(context.config.sweep)
    space = parse(overrides, context.hydra.config_loader)
    configs = checked_configs(space, context)
    objectives = common_objectives([fitted_as_said(cfg, overrides) for cfg in configs], settings)
    processes = common_processes(configs)
    at_once = max(1, settings.workers // processes)  # a trial takes as many workers as it has processes
    grid = space.grid(settings.shuffle) if settings.sampler is None else None
    with signals.handled(), locked(Path(context.config.hydra.sweep.dir).absolute()) as ledger, scratch():
        if ledger.head:
            check_unchanged(ledger, overrides, space)
        else:
            begin(ledger, settings.name, overrides, configs)
        repeats = repetitions_of(space, ledger, settings)
        ledger.begin(fixed=mask_overrides(space.fixed), goals=[(each.name, each.direction) for each in objectives])
        ledger.begin(repetitions=len(repeats))
        executing = build(context.config.sweep.executor, context=context, workers=at_once, processes=processes)
        # the executor first: it forks this process, which must not have opened a connection to a store by then
        with saying_how_far(ledger), executing as executor, opened_run(ledger, context.config, configs[0]) as run:
            search = make_search(context.config.sweep, settings, space, objectives, repeats=repeats)
            proposals = Proposals(space, total=settings.trials, search=search, grid=grid, repeats=repeats)
            ledger.begin(total=proposals.total)
            board = Board(objectives, proposals.total, at_once)
            scheduler = Scheduler(ledger, settings, proposals, objectives, executor, run, board, at_once)
            with board.shown():
                scheduler.run_trials()
            close(scheduler)
    exit_as_earned(scheduler)


@contextmanager
def saying_how_far(ledger: Ledger) -> Iterator[None]:
    """Say how many trials are done and how to go on with the others, if a signal stops the sweep."""
    try:
        yield
    except signals.Interrupted:
        rest()
        ended, total = (
            sum(trial.state != "running" for trial in ledger.trials.values()),
            ledger.head.get("total", "all"),
        )
        again = shlex.quote(f"sweep.resume={ledger.head['name']}")
        log.warning("Stopped after %d of %s trials; go on with: blurr run %s", ended, total, again)
        raise


def checked_configs(space: Space, context: Context) -> list[DictConfig]:
    """Compose and check a config for every value of the sweep, so that no mistake waits for its trial."""
    configs = [context.compose(space.overrides(point)) for point in space.samples()]
    for cfg in configs:
        HydraConfig.instance().set_config(cfg)  # `${hydra:…}` is resolved from there
        check(cfg)
    HydraConfig.instance().set_config(configs[0])
    return configs


def common_objectives(configs: Sequence[DictConfig], settings: Settings) -> list[Objective]:
    """Return the objectives, which all trials must share to be compared.

    Raises:
        InputError: they differ.
    """
    found = [objectives_of(cfg, settings.direction) for cfg in configs]
    other = next((each for each in found if each != found[0]), None)
    if other:
        one, two = (", ".join(objective.name for objective in each) for each in (found[0], other))
        raise InputError(
            f"The trials have different objectives, {one} and {two}, and cannot be compared. "
            "Set objective=valid/loss, or another that all of them have."
        )
    return found[0]


def common_processes(configs: Sequence[DictConfig]) -> int:
    """Return how many processes each trial has.

    Raises:
        InputError: not all have as many.
    """
    found = sorted({cfg.processes for cfg in configs})
    if len(found) > 1:
        raise InputError(
            f"The trials have processes={', '.join(map(str, found))}, and workers are counted by them. Give all trials "
            "as many; a sweep for each number compares them."
        )
    return int(found[0])


def check_unchanged(ledger: Ledger, overrides: Sequence[str], space: Space) -> None:
    """Refuse to mix one sweep with another.

    Raises:
        InputError: the folder holds a sweep with other overrides, or what no sweep writes.
    """
    ours, before = (
        sorted(each for each in words if not is_own(each) and key_of(each) != "output_dir")
        for words in (mask_overrides(overrides), ledger.head["words"])
    )
    if ours != before:
        raise InputError(
            f"The sweep in {ledger.folder} was begun with {' '.join(before)}, and this command line has "
            f"{' '.join(ours)}. Give the same overrides, or only sweep.resume={ledger.folder.name}, or another "
            "sweep.name."
        )
    check_weights(ledger)
    axes = {axis.key: axis for axis in space.axes}
    for trial in ledger.trials.values():  # an unfinished one is run again with the values that the ledger has
        if not all(key in axes and axes[key].admits(value) for key, value in trial.point.items()):
            raise InputError(
                f"The ledger in {ledger.folder} has a trial {trial}, which is outside of this sweep: somebody has "
                "changed it. Begin anew with another sweep.name."
            )


def begin(ledger: Ledger, name: str, overrides: Sequence[str], configs: Sequence[DictConfig]) -> None:
    """Write down how a new sweep was started, and whether all of its trials use pretrained weights."""
    make_room(ledger.folder, overwrite=configs[0].overwrite)
    (ledger.folder / PRECISION).unlink(missing_ok=True)
    argv, given = mask_overrides(sys.argv[1:]), mask_overrides(overrides)
    ledger.begin(name=name, argv=argv, words=given, weights=decide_weights(configs))


def decide_weights(configs: Sequence[DictConfig]) -> str:
    """Resolve `model.weights=auto` once for all trials: `pretrained` only if every checkpoint can be loaded."""
    from blurr.models.weights import choose_weights

    models = [cfg.model for cfg in configs if OmegaConf.select(cfg, "model.weights") == "auto"]
    names = {(model["name"], OmegaConf.select(model, "arch")) for model in models}
    if not names:
        return "auto"
    chosen = {choose_weights(name, "auto", arch) for name, arch in sorted(names, key=str)}
    return "scratch" if "scratch" in chosen else "pretrained"


def repetitions_of(space: Space, ledger: Ledger, settings: Settings) -> list[Point]:
    """Return the seeds and folds that a search runs each of its proposals with; a grid has them as its points.

    A sweep that an earlier version of blurr began goes on as it did: its sampler chose seeds, too.
    """
    if settings.sampler is None or (ledger.trials and ledger.head.get("repetitions", 1) == 1):
        return [{}]
    repeats = space.repetitions()
    if repeats != [{}] and settings.trials:
        proposals = max(1, settings.trials // len(repeats))
        log.info("%d proposals, each run %d times, by %s", proposals, len(repeats), ", ".join(repeats[0]))
    return repeats


def make_search(
    node: DictConfig, settings: Settings, space: Space, objectives: Sequence[Objective], *, repeats: Sequence[Point]
) -> Any:
    """Make the Optuna search of a sweep with a sampler, a pruner or a storage; return None for a plain grid."""
    if not (settings.sampler or settings.pruner or settings.storage):
        return None
    try:
        from blurr.sweep.search import Search
    except ImportError as error:
        raise InputError(f"This sweep needs Optuna ({error}). Install it with: {how_to_install('sweep')}") from error
    return Search(
        space,
        directions=[objective.direction for objective in objectives],
        sampler=partial(sampler_for, node) if settings.sampler else None,
        pruner=build(node.pruner) if settings.pruner else None,
        storage=settings.storage,
        name=settings.name,
        repeats=repeats,
    )


def sampler_for(node: DictConfig, number: int) -> Any:
    """Make the sampler for the trial with this number, with a seed of its own."""
    given = dict(node.sampler)
    return build(OmegaConf.create({**given, **({"seed": given["seed"] + number} if "seed" in given else {})}))


@contextmanager
def opened_run(ledger: Ledger, config: DictConfig, example: DictConfig) -> Iterator[Run]:
    """Open the sweep's own MLflow run, the parent of the trials'; a resumed sweep continues it."""
    tracker = build(example.tracking)
    run_id, identity = ledger.head.get("run"), ledger.head.get("identity")
    if identity is None:
        identity = new_identity()
        ledger.begin(identity=identity)
    elif run_id is None:  # the process may have been killed between opening it and writing down its id
        run_id = tracker.find(identity)
    tags = {"blurr.sweep": config.sweep.name, "mlflow.runName": f"sweep {config.sweep.name}", IDENTITY_TAG: identity}
    kept = 0 if ledger.head.get("run") else None  # its values are logged again, from the ledger
    with Run(ledger.folder, tracker.open(run_id=run_id, tags=tags), kept=kept, identity=identity) as run:
        if "run" not in ledger.head:
            ledger.begin(run=run.id)
            plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            run.describe(OmegaConf.to_container(plain, resolve=False), ledger.head["words"], {})  # type: ignore[arg-type]
        yield run


def close(scheduler: Scheduler) -> None:
    """Tag the best trials, write down and plot the results, and print all trials."""
    ledger, run, name = scheduler.ledger, scheduler.run, scheduler.settings.name
    trials = list(ledger.trials.values())
    winners = best(configurations_of(trials), scheduler.objectives)
    numbers = [number for each in winners for number in each.numbers]
    for number in {*ledger.head.get("best", []), *numbers}:  # the former best, from before a resume, lose their tag
        run.amend(number, tags={"blurr.best": str(number in numbers).lower()})
    scheduler.board.close(ledger)
    run.tag(**{"mlflow.note.content": note(trials, scheduler.objectives)})
    lines, steps = {"sweep": name}, {}
    worthless = "; ".join(constant(trials, scheduler.objectives))
    if worthless:
        run.tag(worthless=worthless)
        lines["worth nothing"] = worthless
    if winners:
        ledger.begin(best=numbers)
        run.tag(best=", ".join(map(str, numbers)), **tags_of_best(winners, scheduler.objectives))
        file = ledger.folder / "best.yaml"
        with writing(file, f"Make room, and go on with sweep.resume={name}."):
            file.write_text(experiment_yaml(ledger, winners[0]), encoding="utf-8")
        run.artifact(file)
        draw_plots(scheduler)
        freed = free(ledger, scheduler.objectives, scheduler.settings.keep, run)
        lines |= {"weights": freed} if freed else {}
        steps = {"keep the best": command("sweep", "export", name), "run it": command("run", "experiments=best")}
    show_place(run, lines, {"look": command("sweep", "show", name), **steps})


def tags_of_best(winners: Sequence[Configuration], objectives: Sequence[Objective]) -> dict[str, str]:
    """Say on the sweep's run which configuration is best by its mean, and how well it does."""
    said = [
        ", ".join(f"{each.name} {score}" for each, score in zip(objectives, winner.scores(), strict=True))
        for winner in winners
    ]
    counts = [f" (n={winner.count})" if winner.is_repeated else "" for winner in winners]
    return {
        "best_configuration": "; ".join(map(str, winners)),
        "best_scores": "; ".join(map("".join, zip(said, counts, strict=True))),
    }


def draw_plots(scheduler: Scheduler) -> None:
    """Draw the sweep's plots if Optuna is installed."""
    try:
        from blurr.sweep.plots import draw
        from blurr.sweep.search import Search, study_of_means
    except ImportError as error:
        log.info("No plots are drawn (%s). To have them: %s", error, how_to_install("sweep"))
        return
    ledger, objectives = scheduler.ledger, scheduler.objectives
    space, directions = scheduler.proposals.space, [objective.direction for objective in objectives]
    found = configurations_of(ledger.trials.values())
    if any(each.is_repeated and each.point for each in found):
        study = study_of_means(space, found, directions)
    else:
        search = Search(space, directions=directions)
        search.follow(ledger)
        study = search.study
    title = f"Sweep {scheduler.settings.name}"
    with dispensable("The page of the plots", "The trials are complete; sweep.resume=<the sweep> makes it again."):
        for file in draw(study, objectives[0], ledger.folder / "plots", title=title):
            scheduler.run.artifact(file, "plots")


def exit_as_earned(scheduler: Scheduler) -> None:
    """Exit with code 1 if a trial failed; raise the mistake that all trials failed on."""
    trials = scheduler.ledger.trials.values()
    failed = [trial for trial in trials if trial.state == "failed"]
    if len(failed) == len(trials) and len(set(scheduler.mistakes)) == 1:
        raise InputError(scheduler.mistakes[0])
    if failed:
        raise SystemExit(CRASH)
