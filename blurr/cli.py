"""The `blurr` command: run an experiment, list the options, examine the machine."""

if __name__ == "__main__":  # before the imports below, which take a second
    from blurr.process import signals

    signals.end_at_once()

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from blurr import __version__
from blurr.config import explain, paths
from blurr.errors import InputError, nearest
from blurr.loading.commands import add_cache
from blurr.process import setup
from blurr.report import commands as reviewing
from blurr.runs.secrets import mask_text
from blurr.serve import commands as serving
from blurr.sweep.commands import add_commands
from blurr.tracking.sync import add_track

RUN = "run"


def main() -> None:
    """Run the command that the first word names; Hydra handles `run` and shell completion."""
    words = sys.argv[1:]
    with explain.Answering():
        setup.make_ready()
        if words[:1] in (["-sc"], ["--shell-completion"]):
            _complete(words)
        elif words[:1] == [RUN]:
            _hydra(words[1:])
        else:
            parser = _parser()
            arguments, others = parser.parse_known_args(words or ["--help"])
            # argparse takes no more values for an optional argument after a flag
            if others and not ("overrides" in arguments and all("=" in word and word[:1] != "-" for word in others)):
                parser.error(f"unrecognized arguments: {' '.join(others)}")
            if others:
                arguments.overrides = [*arguments.overrides, *others]
            command: Callable[[argparse.Namespace], int] = arguments.command
            raise SystemExit(command(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blurr",
        description="Train, evaluate and track Hugging Face transformers with fastai.",
        epilog='Completion in this shell: eval "$(blurr -sc install=bash)" (zsh too), blurr -sc install=fish | source',
    )
    parser.add_argument("--version", action="version", version=f"blurr {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    # Listed for --help only: main() hands `run` to Hydra, which has flags of its own.
    commands.add_parser(RUN, help="run an experiment, or a grid of them (`blurr run --help`)", add_help=False)
    ls = commands.add_parser("ls", help="list the option groups, or the options of one group")
    ls.add_argument("group", nargs="?", help="a group, e.g. model")
    ls.set_defaults(command=_ls)
    plan = commands.add_parser("plan", help="say what `blurr run` would do with the same overrides; loads no weights")
    plan.add_argument("overrides", nargs="*", help="as for `blurr run`, e.g. task=summarization model=bart")
    plan.set_defaults(command=_plan)
    add_cache(commands)
    reviewing.add_reviewing(commands)
    add_commands(commands)
    add_track(commands)
    serving.add_serving(commands)
    doctor = commands.add_parser("doctor", help="examine the machine and the installation, and say how to fix them")
    doctor.add_argument("--timing", action="store_true", help="show how long each part of a run's start takes instead")
    doctor.set_defaults(command=_doctor)
    return parser


def _hydra(words: Sequence[str]) -> None:
    """Continue as `python -m blurr.run` with these words."""
    from blurr import run

    sys.argv = [sys.argv[0], *words]
    run.hand_to_hydra()


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
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    from blurr.config import checks, composing

    composing.prepare_process()
    cfg = composing.compose(arguments.overrides)
    checks.check(cfg)

    from blurr.plan import plan
    from blurr.process.terminal import show

    for title, facts in plan(cfg, arguments.overrides).items():
        show(title, [("", name, said) for name, said in facts])
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from blurr import doctor
    from blurr.process.terminal import show

    if arguments.timing:
        return _timing()
    findings = list(doctor.examine())
    show("doctor", [("BROKEN" if each.remedy else "", each.subject, mask_text(each.found)) for each in findings])
    broken = [each for each in findings if each.remedy]
    for each in broken:
        print(f"{each.subject}: {each.remedy}")
    return 1 if broken else 0


def _timing() -> int:
    from blurr.process.startup import startup_times
    from blurr.process.terminal import show

    times = startup_times()
    times.append(("all", sum(clock for _, clock, _ in times), sum(cpu for *_, cpu in times)))
    said = [("", name, f"{clock:6.2f} s, {cpu:6.2f} s of CPU time") for name, clock, cpu in times]
    show("start-up, up to the first row", said)
    return 0


def _complete(words: Sequence[str]) -> None:
    """Complete a word for the shell: commands first, groups after `ls`, whatever Hydra knows after `run`."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()[1:] + ([""] if line.endswith(" ") else [])
    takes_overrides = len(typed) > 1 and typed[0] in (RUN, "plan")
    if "query=" not in " ".join(words) or not typed or takes_overrides:
        os.environ["COMP_LINE"] = line.replace(f" {typed[0]} ", " ", 1) if takes_overrides else line
        return _hydra(words)
    commands = [RUN, "plan", "ls", "cache", "sweep", "reproduce", "track", *reviewing.NAMES, *serving.NAMES, "doctor"]
    choices = {1: commands, 2: paths.groups() if typed[:1] == ["ls"] else []}.get(len(typed), [])
    return print(" ".join(choice for choice in choices if choice.startswith(typed[-1])))


if __name__ == "__main__":
    main()
