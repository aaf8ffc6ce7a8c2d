"""Run one sweep from its command line to its closing table."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from blurr.config import checks
from blurr.config.building import build
from blurr.config.explain import CRASH
from blurr.config.objectives import fitted_as_said
from blurr.errors import InputError
from blurr.process import signals
from blurr.runs.folder import make_room, new_identity
from blurr.runs.secrets import mask_overrides
from blurr.sweep.board import Board
from blurr.sweep.export import experiment_yaml, note
from blurr.sweep.ledger import Ledger, locked
from blurr.sweep.objectives import Goal, best, constant, goals
from blurr.sweep.proposals import Proposals
from blurr.sweep.scheduler import Conductor
from blurr.sweep.settings import Settings
from blurr.sweep.space import Space, is_own, parse
from blurr.sweep.trial import Context
from blurr.tracking.run import Run
from blurr.tracking.sink import IDENTITY_TAG
from blurr.tracking.summary import show_place

log = logging.getLogger(__name__)


def run_sweep(words: Sequence[str], context: Context) -> None:
    """Run a sweep, or what is left of it.

    Args:
        words: of the command line, those for Hydra itself aside.
        context: what composes and runs a trial.

    Raises:
        InputError: a mistake in what the user gave, before any trial is started; or one that all trials failed on.
        SystemExit: with code 1, where a trial failed.
    """
    checks.check_part("sweep", context.config.sweep)
    settings: Settings = build(context.config.sweep)
    space = parse(words, context.hydra.config_loader)
    configs = [context.compose(space.words(point)) for point in space.samples()]
    for cfg in configs:
        HydraConfig.instance().set_config(cfg)  # `${hydra:…}` is resolved from there
        checks.check(cfg)
    HydraConfig.instance().set_config(configs[0])
    aims = common_goals([fitted_as_said(cfg, words) for cfg in configs], settings)
    grid = space.grid(settings.shuffle) if settings.sampler is None else None
    folder = Path(context.config.hydra.sweep.dir).absolute()
    with locked(folder) as ledger, signals.handled():
        if ledger.head:
            check_words(ledger, words, space)
        else:
            make_room(folder, overwrite=configs[0].overwrite)
            weights = decide_weights(configs)
            argv, given = mask_overrides(sys.argv[1:]), mask_overrides(words)
            ledger.begin(name=settings.name, argv=argv, words=given, weights=weights)
        ledger.begin(fixed=mask_overrides(space.fixed), goals=[(goal.name, goal.direction) for goal in aims])
        executing = build(context.config.sweep.executor, context=context, workers=settings.workers)
        with executing as executor, opened_run(ledger, context.config, configs[0]) as run:
            proposals = Proposals(
                space,
                total=settings.trials,
                search=make_search(context.config.sweep, settings, space, aims),
                grid=grid,
            )
            ledger.begin(total=proposals.total)
            board = Board(aims, proposals.total, settings.workers)
            conductor = Conductor(
                ledger, settings, proposals, aims, executor, run, board, weights=ledger.head["weights"]
            )
            with board.shown():
                conduct(conductor)
            conclude(conductor)
    answer(conductor)


def common_goals(configs: Sequence[DictConfig], settings: Settings) -> list[Goal]:
    """Give the objectives, which all trials must have in common to be compared.

    Raises:
        InputError: they have not.
    """
    found = [goals(cfg, settings.direction) for cfg in configs]
    other = next((each for each in found if each != found[0]), None)
    if other:
        one, two = ([goal.name for goal in each] for each in (found[0], other))
        raise InputError(
            f"The trials have different objectives, {', '.join(one)} and {', '.join(two)}, and cannot be compared. "
            "Set objective=valid/loss, or another that all of them have."
        )
    return found[0]


def check_words(ledger: Ledger, words: Sequence[str], space: Space) -> None:
    """Refuse to mix a sweep with another.

    Raises:
        InputError: the folder holds a sweep of other words, or a trial that these words do not span.
    """
    ours = sorted(word for word in mask_overrides(words) if not is_own(word))
    before = sorted(word for word in ledger.head["words"] if not is_own(word))
    if ours != before:
        raise InputError(
            f"The sweep in {ledger.folder} was begun with {' '.join(before)}, and this command line has "
            f"{' '.join(ours)}. Give the same words, or none but sweep.resume={ledger.folder.name}, or another "
            "sweep.name."
        )
    axes = {axis.key: axis for axis in space.axes}
    for trial in ledger.trials.values():  # run again as the journal has it, unless it has ended
        if not all(key in axes and axes[key].admits(value) for key, value in trial.point.items()):
            raise InputError(
                f"The journal in {ledger.folder} has a trial {trial}, which these words do not span: somebody has "
                "changed it. Begin anew with another sweep.name."
            )


def decide_weights(configs: Sequence[DictConfig]) -> str:
    """Decide what `model.weights=auto` stands for in all trials alike: checkpoints where every one can be had."""
    from blurr.models.weights import choose_weights

    models = [cfg.model for cfg in configs if OmegaConf.select(cfg, "model.weights") == "auto"]
    asked = {(model["name"], OmegaConf.select(model, "arch")) for model in models}
    if not asked:
        return "auto"
    chosen = {choose_weights(name, "auto", arch) for name, arch in sorted(asked, key=str)}
    return "scratch" if "scratch" in chosen else "pretrained"


def make_search(node: DictConfig, settings: Settings, space: Space, aims: Sequence[Goal]) -> Any:
    """Make the search of a sweep that has a sampler, a pruner or a storage; None for a plain grid."""
    if not (settings.sampler or settings.pruner or settings.storage):
        return None
    try:
        from blurr.sweep.search import Search
    except ImportError as error:
        raise InputError(f"This sweep needs Optuna ({error}). Install it with: pip install 'blurr[sweep]'") from error
    return Search(
        space,
        directions=[goal.direction for goal in aims],
        sampler=partial(sampler_for, node) if settings.sampler else None,
        pruner=build(node.pruner) if settings.pruner else None,
        storage=settings.storage,
        name=settings.name,
    )


def sampler_for(node: DictConfig, number: int) -> Any:
    """Make the sampler of the trial of this number, with a seed of its own."""
    given = dict(node.sampler)
    return build(OmegaConf.create({**given, **({"seed": given["seed"] + number} if "seed" in given else {})}))


@contextmanager
def opened_run(ledger: Ledger, config: DictConfig, example: DictConfig) -> Iterator[Run]:
    """Open the sweep's own MLflow run, the parent of the trials'; a sweep that is resumed goes on with it."""
    tracker = build(example.tracking)
    run_id, identity = ledger.head.get("run"), ledger.head.get("identity")
    if identity is None:
        identity = new_identity()
        ledger.begin(identity=identity)
    elif run_id is None:  # a killed process may have opened it
        run_id = tracker.find(identity)
    tags = {"blurr.sweep": config.sweep.name, "mlflow.runName": f"sweep {config.sweep.name}", IDENTITY_TAG: identity}
    with Run(ledger.folder, tracker.open(run_id=run_id, tags=tags), identity=identity) as run:
        if "run" not in ledger.head:
            ledger.begin(run=run.id)
            plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            run.describe(OmegaConf.to_container(plain, resolve=False), ledger.head["words"], {})  # type: ignore[arg-type]
        yield run


def conduct(conductor: Conductor) -> None:
    """Run the trials; where the user stops the sweep, let those that run close their MLflow runs."""
    try:
        conductor.conduct()
    except (KeyboardInterrupt, SystemExit):
        log.warning("The sweep is stopped. To go on with it: blurr run -m sweep.resume=%s", conductor.settings.name)
        conductor.interrupt()
        raise


def conclude(conductor: Conductor) -> None:
    """Mark the best trials, draw what was found, and show all trials."""
    ledger, run = conductor.ledger, conductor.run
    winners = best(ledger.trials.values(), conductor.goals)
    numbers = [trial.twin if trial.twin is not None else trial.number for trial in winners]
    for number in ledger.head.get("best", []):
        if number not in numbers:
            run.amend(number, tags={"blurr.best": "false"})  # it was, before the sweep went on
    for number in numbers:
        run.amend(number, tags={"blurr.best": "true"})
    conductor.board.close(ledger)
    run.tag(**{"mlflow.note.content": note(list(ledger.trials.values()), conductor.goals)})
    facts = {"sweep": conductor.settings.name}
    worthless = "; ".join(constant(ledger.trials.values(), conductor.goals))
    if worthless:
        run.tag(worthless=worthless)
        facts["worth nothing"] = worthless
    if winners:
        ledger.begin(best=numbers)
        run.tag(best=", ".join(map(str, numbers)))
        file = ledger.folder / "best.yaml"
        file.write_text(experiment_yaml(ledger, winners[0]), encoding="utf-8")
        run.artifact(file)
        draw_plots(conductor)
        facts["to run the best"] = f"blurr sweep export {conductor.settings.name}; blurr run experiments=best"
    show_place(run, facts)


def draw_plots(conductor: Conductor) -> None:
    """Draw the sweep's plots, where Optuna is there to do so."""
    try:
        from blurr.sweep.plots import draw
        from blurr.sweep.search import Search
    except ImportError as error:
        log.info("No plots are drawn (%s). To have them: pip install 'blurr[sweep]'", error)
        return
    ledger, aims = conductor.ledger, conductor.goals
    search = Search(conductor.proposals.space, directions=[goal.direction for goal in aims])
    search.follow(ledger)
    for file in draw(search.study, aims[0], ledger.folder / "plots", title=f"Sweep {conductor.settings.name}"):
        conductor.run.artifact(file, "plots")


def answer(conductor: Conductor) -> None:
    """Leave with the exit code that the sweep has earned."""
    failed = [trial for trial in conductor.ledger.trials.values() if trial.state == "failed"]
    if conductor.mistakes and len(failed) == len(conductor.ledger.trials) and len(set(conductor.mistakes)) == 1:
        raise InputError(conductor.mistakes[0])
    if failed:
        raise SystemExit(CRASH)
