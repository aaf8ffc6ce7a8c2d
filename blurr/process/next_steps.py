"""Say with which command to go on: the last lines of every command."""

import shlex
import sys
from collections.abc import Mapping, Sequence

TEXT = "a text of yours"
FOLDER = "a folder of yours"


def command(*words: object) -> str:
    """Return a command of blurr as it is typed: words that a shell would read otherwise are quoted."""
    return shlex.join(["blurr", *map(str, words)])


def try_it(model: object, roles: Sequence[str] = (), *, files: bool = False) -> dict[str, str]:
    """Return the commands that try a model.

    Args:
        model: its folder or name.
        roles: the fields that it reads.
        files: whether they are files, such as pictures.
    """
    texts = [f"{role}={TEXT}" for role in roles] if len(roles) > 1 else [TEXT]
    words = ["--input", FOLDER] if files else [word for text in texts for word in ("--text", text)]
    return {"predict": command("predict", model, *words), "serve": command("serve", model)}


def show_next(steps: Mapping[str, str]) -> None:
    """Print commands to go on with, one on each line, unbroken, so that they can be copied.

    They go to stderr: what a command answers on stdout may be read by another program.

    Args:
        steps: what each is for, such as `predict`, and the command.
    """
    if not steps:
        return
    from rich.text import Text  # not at the top: help is shown without it

    from blurr.process.terminal import PlainConsole, rest

    rest()
    console = PlainConsole(stderr="ipykernel" not in sys.modules)  # a notebook shows stderr in red
    width = max(map(len, steps)) + 2
    console.print("\nnext", style="bold")
    for aim, line in steps.items():
        console.print(Text.assemble(f"  {aim.ljust(width)}", (line, "cyan")), soft_wrap=True)
