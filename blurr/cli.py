"""The `blurr` command: run an experiment, list the options, examine the machine."""

import sys

if __name__ == "__main__":  # before the imports below, which take a second
    from blurr.process import signals
    from blurr.runs import opening

    signals.end_at_once()
    opening.announce(sys.argv[1:])

import argparse
from collections.abc import Sequence
from typing import Any

from blurr import __version__
from blurr.commands import help_of_run
from blurr.commands.starting import add_init
from blurr.config import explain, paths
from blurr.errors import InputError, nearest
from blurr.loading.commands import add_cache
from blurr.process import setup
from blurr.process.arguments import RUN, Commands, Parser
from blurr.process.imports import import_libraries
from blurr.process.next_steps import command, show_next
from blurr.report.commands import add_reviewing
from blurr.serve.commands import add_serving
from blurr.sweep.commands import add_reproduce, add_sweep
from blurr.tracking.commands import add_track, add_ui

ABOUT = "Train, evaluate and track Hugging Face transformers with fastai."
COMPLETION = """Tab completes commands, keys, options and files after
  eval "$(blurr -sc install=bash)"      (bash and zsh)
  blurr -sc install=fish | source"""


def main() -> None:
    """Run the command that the first word names; Hydra handles `run` and shell completion."""
    words = sys.argv[1:]
    with explain.Answering():
        setup.make_ready()
        if words[:1] in (["-sc"], ["--shell-completion"]):
            from blurr.commands.completion import complete

            complete(words, commands().parsers, _hydra)
        elif words[:1] == [RUN]:
            _hydra(words[1:])
        else:
            raise SystemExit(_call(words or ["--help"]))


def _call(words: Sequence[str]) -> Any:
    """Run the command that is no `run`, and return its exit code."""
    there = commands()
    arguments, others = there.parser.parse_known_args(words)
    if others and words[0] not in there.parsers:  # a flag before the command
        there.parser.error(f"unrecognized arguments: {words[0]}")
    if others and "overrides" in arguments:
        explain.check_flags(words[1:], there.parsers[words[0]].flags)
        # argparse takes no more values for an optional argument after a flag
        arguments.overrides, others = [*arguments.overrides, *others], []
    if others:
        there.parsers[words[0]].error(f"unrecognized arguments: {' '.join(others)}")
    return arguments.command(arguments)


def commands() -> Commands:
    """Return the commands, each of which has a parser."""
    parser = Parser(prog="blurr", description=ABOUT, epilog=COMPLETION)
    parser.add_argument("--version", action="version", version=f"blurr {__version__}")
    there = Commands(parser)
    add_init(there)
    _add_plan(there)
    # Listed for --help only: main() hands `run` to Hydra, which has flags of its own.
    there.add(RUN, "run an experiment, or a grid of them", part="to train")
    add_sweep(there)
    add_ui(there)
    add_reviewing(there)
    add_serving(there)
    add_reproduce(there)
    add_track(there)
    add_cache(there)
    _add_own(there)
    return there


def _add_plan(there: Commands) -> None:
    plan = there.add(
        "plan",
        "say what `blurr run` would do with the same words",
        _plan,
        about="It reads the data, loads no weights, trains nothing, and warns of what looks wrong.",
        examples=["blurr plan data=files data.train=reviews.csv data.columns.label=stars"],
        part="to train",
    )
    plan.add_argument("--config", action="store_true", help="show every key and value, too")
    said = "as for `blurr run`, e.g. task=summarization model=bart"
    plan.add_argument("overrides", metavar="KEY=VALUE", nargs="*", default=[], help=said)


def _add_own(there: Commands) -> None:
    ls = there.add(
        "ls",
        "list the option groups, or the options of one group",
        _ls,
        about="Your own options, which lie in folders beside your work, are marked.",
        examples=["blurr ls model"],
        part="about blurr itself",
    )
    ls.add_argument("group", nargs="?", help="a group, e.g. model (default: all)")
    doctor = there.add(
        "doctor",
        "examine the machine and the installation, and say how to mend them",
        _doctor,
        examples=["blurr doctor"],
        part="about blurr itself",
    )
    doctor.add_argument("--timing", action="store_true", help="show how long each part of a run's start takes instead")


def _hydra(words: Sequence[str]) -> None:
    """Continue as `python -m blurr.run` with these words."""
    if help_of_run.is_wanted(words):
        return help_of_run.show()
    explain.check_flags(words)  # before what takes seconds to import
    from blurr import run

    sys.argv = [sys.argv[0], *words]
    return run.hand_to_hydra()


def _ls(arguments: argparse.Namespace) -> int:
    from blurr.process.terminal import show

    groups = paths.groups()
    if arguments.group is not None and arguments.group not in groups:
        raise InputError(
            f"There is no group '{arguments.group}'.{nearest(arguments.group, groups)} There are: {', '.join(groups)}."
        )
    for group in groups if arguments.group is None else [arguments.group]:
        show(
            group,
            [
                ("own" if paths.is_own(file) else "", name, paths.headline(file))
                for name, file in paths.options(group).items()
            ],
        )
    option, file = next(iter(paths.options(group).items()))
    words = ["task=summarization"] if arguments.group is None else paths.example(file) or [f"{group}={option}"]
    show_next({"plan": command("plan", *words), "run": command("run", *words)})
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from blurr.config import composing
    from blurr.data import checks

    composing.prepare_process()
    cfg = composing.compose(arguments.overrides)
    checks.check(cfg)
    import_libraries()

    from blurr.plan import plan
    from blurr.process.terminal import show

    sections = plan(cfg, arguments.overrides)
    config, doubts = sections.pop("config"), sections.pop("look at this")
    for title, facts in {**sections, **({"config": config} if arguments.config else {})}.items():
        show(title, [("", name, said) for name, said in facts])
    if doubts:
        show("look at this", [("", "!", f"{wrong}: {remedy}") for wrong, remedy in doubts])
    more = {} if arguments.config else {"all settings": command("plan", "--config", *arguments.overrides)}
    show_next({"run": command("run", *arguments.overrides), **more})
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from blurr import doctor
    from blurr.process.terminal import show
    from blurr.runs.secrets import mask_text

    if arguments.timing:
        return _timing()
    findings = list(doctor.examine())
    show("doctor", [("BROKEN" if each.remedy else "", each.subject, mask_text(each.found)) for each in findings])
    broken = [each for each in findings if each.remedy]
    for each in broken:
        print(f"{each.subject}: {each.remedy}")
    show_next({"look again": command("doctor")} if broken else {"try all of it": command("run", "debug=quick")})
    return 1 if broken else 0


def _timing() -> int:
    from blurr.process.startup import startup_times
    from blurr.process.terminal import show

    times = startup_times()
    times.append(("all", sum(clock for _, clock, _ in times), sum(cpu for *_, cpu in times)))
    said = [("", name, f"{clock:6.2f} s, {cpu:6.2f} s of CPU time") for name, clock, cpu in times]
    show("start-up, up to the first row", said)
    return 0


if __name__ == "__main__":
    main()
