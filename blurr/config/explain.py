"""Answer a mistake on the command line with one message: what is wrong, what there is, what to do."""

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from blurr.config import paths
from blurr.config.habits import PLACEHOLDER, translated
from blurr.errors import BlurrError, InputError, nearest, resource_error, shortened, visible
from blurr.process import terminal

if TYPE_CHECKING:  # they take half a second, and most commands make no mistake
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

USER_MISTAKE, CRASH, INTERRUPTED = 2, 1, 130

# The flags of a Hydra command line, https://hydra.cc/docs/advanced/hydra-command-line-flags/
FLAGS = (
    *("--help", "--hydra-help", "--version", "--cfg", "--resolve", "--package", "--run", "--multirun"),
    *("--shell-completion", "--config-path", "--config-name", "--config-dir", "--experimental-rerun", "--info"),
)
SEE = "`blurr run --help` shows the flags, the groups and the usual keys."
SHORT = ("-h", "-c", "-p", "-r", "-m", "-cp", "-cn", "-cd", "-sc", "-i")

Job = TypeVar("Job", bound=Callable[..., Any])
JOBS: set[CodeType] = set()  # what runs once a config is composed: errors in there are not about the command line


def job(function: Job) -> Job:
    """Mark the function that Hydra calls with a composed config."""
    JOBS.add(function.__code__)
    return function


class Answering:
    """Turn an exception inside a `with` block into one message on stderr and an exit code (SystemExit).

    The code is 2 for the user's mistake; 1 if the machine or a service failed, and for any other exception; 130 for
    Ctrl-C. The traceback of an InputError or ResourceError is shown only with `debug=traceback`; that of any other
    exception always, from our code on.

    The entry points use it (`cli.main`, `run.main`), and so do the two functions that Hydra calls, whose exceptions it
    would report itself: the check before a run, and the job. A SystemExit passes through Hydra and an outer one.
    """

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the message and raise SystemExit instead; a SystemExit itself passes."""
        if isinstance(error, KeyboardInterrupt):
            sys.stderr.write("Interrupted.\n")
            raise SystemExit(INTERRUPTED) from None
        if isinstance(error, Exception):
            raise SystemExit(_report(error, sys.argv[1:])) from None


def check_flags(words: Sequence[str], flags: Sequence[str] = FLAGS) -> None:
    """Refuse `--lr=3` and `--lr 3`, for which argparse would print a page of usage, and say how to write them.

    Args:
        words: of the command line.
        flags: those that the command has.

    Raises:
        InputError: some of the words are unknown flags.
    """
    unknown = unknown_flags(words, flags)
    instead: list[str] = []
    nothing: list[str] = []
    for i, (flag, is_given, value) in unknown:
        following = words[i + 1] if i + 1 < len(words) and not re.search("^-|=", words[i + 1]) else None
        is_spelt_otherwise = flag.replace("_", "-") in flags
        known = None if is_spelt_otherwise else translated(flag, value if is_given else following, words)
        near = "" if known or is_given or (following and not is_spelt_otherwise) else nearest(flag, flags)
        if near:
            raise InputError(f"There is no flag '{flag}'.{near} {SEE}")
        if known or "." in flag:  # a dotted key may be Hydra's
            instead.append(known or f"{flag.lstrip('-')}={value or following or PLACEHOLDER}")
        else:
            nothing.append(f"'{flag}'")
    if unknown:
        named = ", ".join(f"'{flag}'" for _, (flag, *_) in unknown)
        there = "is no flag" if len(unknown) == 1 else "are no flags"
        how = f" Values are set without dashes: {' '.join(instead)}." if instead else ""
        none = f" No key is like {' or '.join(nothing)}." if nothing else ""
        raise InputError(f"There {there} {named}.{how}{none} {SEE}")


def unknown_flags(words: Sequence[str], flags: Sequence[str] = FLAGS) -> list[tuple[int, tuple[str, str, str]]]:
    """Return the flags that a command does not have: where each stands, and its name, `=` and value."""
    parts = [(i, word.partition("=")) for i, word in enumerate(words) if word[:1] == "-"]
    return [(i, each) for i, each in parts if not _is_known(each[0], flags)]


def _is_known(flag: str, flags: Sequence[str]) -> bool:
    return flag in ("--", *SHORT) or any(known.startswith(flag) for known in flags)


def answer_to(error: BaseException) -> BlurrError | None:
    """Return the error whose message answers an exception; None if only a traceback can.

    fastai and Hydra wrap what a callback or a target raised, so the causes count, too.

    Args:
        error: what was raised.

    Returns:
        An InputError (exit code 2) or a ResourceError (exit code 1).
    """
    for cause in _causes(error):
        if isinstance(cause, BlurrError):
            return cause
    message = _mistake_of_words(error)
    return resource_error(error) if message is None else InputError(message)


def _mistake_of_words(error: BaseException) -> str | None:
    """Return the answer to what Hydra or OmegaConf refused while composing; None for any other exception."""
    if isinstance(error, RecursionError) and _is_hydras(error):
        own = [str(file) for group in paths.groups() for file in paths.options(group).values() if paths.is_own(file)]
        return f"An option's file includes itself, maybe by another: look at the defaults of {', '.join(own)}."
    if not _while_composing(error):
        return None
    from hydra.errors import (
        ConfigCompositionException,
        HydraException,
        MissingConfigException,
        OverrideParseException,
    )
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError

    match error:
        case MissingConfigException():
            return _unknown_option(error)
        case OverrideParseException():
            return _bad_override(error)
        case ConfigCompositionException():
            return _bad_composition(error)
        case MarkedYAMLError():
            return f"This is not readable YAML: {error}"
        case HydraException() | OmegaConfBaseException():
            return _one_line(str(error))
        case ValueError():
            return f"{_one_line(str(error))} `--help` shows the groups and their options."
        case _:
            return None


def _report(error: Exception, words: Sequence[str]) -> int:
    if "-sc" in words or "--shell-completion" in words:  # a message would end up in the middle of what the user types
        return CRASH
    terminal.rest()  # the moving line would break the message in two
    wants_traceback = any(word.lstrip("+") in ("debug=traceback", "debug.traceback=true") for word in words)
    answer = answer_to(error)
    if answer is None or wants_traceback:
        frames = error.__traceback__ if wants_traceback else _from_our_code(error.__traceback__)
        traceback.print_exception(type(error), error, frames)
    if answer is None:
        return CRASH
    _write(str(answer))
    return USER_MISTAKE if isinstance(answer, InputError) else CRASH


def _write(message: str) -> None:
    """Write a message to stderr, which a terminal gets in lines that break between words alone."""
    if sys.stderr.isatty():
        terminal.PlainConsole(stderr=True).print(message)
    else:
        sys.stderr.write(f"{visible(message)}\n")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _is_job(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code in JOBS


def _is_hydras(error: BaseException) -> bool:
    """Did Hydra call what raised this, before the job began?"""
    trail = list(_frames(error.__traceback__))
    callers = {trace.tb_frame.f_globals["__name__"].split(".")[0] for trace in trail}
    return "hydra" in callers and not any(_is_job(trace) for trace in trail)


def _while_composing(error: BaseException) -> bool:
    """Was this raised by Hydra or OmegaConf, before the job began?"""
    trail = list(_frames(error.__traceback__))
    libraries = ("hydra", "omegaconf", "yaml", "antlr4")
    raised_in = trail[-1].tb_frame.f_globals["__name__"].split(".")[0] if trail else "hydra"
    return raised_in in libraries and not any(_is_job(trace) for trace in trail)


def _from_our_code(trace: TracebackType | None) -> TracebackType | None:
    """Leave out Hydra's frames, which do not help to find an error in an experiment."""
    return next((inner for inner in _frames(trace) if _is_job(inner)), trace)


def _one_line(text: str) -> str:
    """Join a message's lines, without Hydra's advice to append a key that is more likely misspelt."""
    lines = [line.strip() for line in text.splitlines() if not re.match(r"\s*(To append to your|See http)", line)]
    return " ".join(line for line in lines if line)


def _unknown_option(error: "MissingConfigException") -> str:
    group, _, option = str(error.missing_cfg_file).partition("/")
    if not option or group not in paths.groups():
        return _one_line(str(error).split("\nConfig search path")[0])
    names = list(paths.options(group))
    hint = nearest(option, names) + _other_way(group, option)
    return (
        f"{group}={option}: there is no such option{_asked_by(option)}.{hint} "
        f"{group} has: {', '.join(names) or 'none'}. `blurr ls {group}` describes them."
    )


def _asked_by(option: str) -> str:
    """Name the file that asks for an option which the command line itself does not name."""
    for word in sys.argv[1:]:
        group, _, name = word.partition("=")
        file = paths.options(group).get(name) if group in paths.groups() else None
        if file and re.search(rf"\b{re.escape(option)}\b", file.read_text(encoding="utf-8")):
            return f" (asked for by {file})"
    return ""


def _other_way(group: str, option: str) -> str:
    """Say how to give a file or a checkpoint, if one was given in place of an option."""
    if group == "data" and ("." in option or Path(option).exists()):
        return f" To train on a file: data=files data.train={option}."
    if group == "model" and ("/" in option or Path(option).exists()):
        return f" To take a checkpoint of the Hub or of a folder: model=auto model.name={option}."
    return ""


def _bad_override(error: "OverrideParseException") -> str:
    word = str(error.override)
    if "=" not in word:
        options = {option: group for group in paths.groups() for option in paths.options(group)}
        if word in options:
            return f"'{word}' is not of the form key=value. Did you mean '{options[word]}={word}'?"
        words = sys.argv[1:]
        following = words[words.index(word) + 1] if word in words[:-1] else PLACEHOLDER
        known = translated(word, following, words) if "=" not in following else None
        near = f" Did you mean '{known}'?" if known else nearest(word, [*paths.groups(), *options])
        return f"'{shortened(word)}' is not of the form key=value.{near} No blanks around '='."
    reason = re.sub(r"Error parsing override .*|\s*\^|expecting.*", "", str(error.message))
    return (
        f"{shortened(word)}: this value cannot be read ({shortened(_one_line(reason))}). Quote a value that holds "
        "blanks, commas or any of ()[]{}:=\\ twice, once for the shell and once for blurr: 'key=\"my value\"'."
    )


def _bad_composition(error: "ConfigCompositionException") -> str:
    from omegaconf.errors import OmegaConfBaseException

    cause = error.__cause__
    ambiguous = re.match(r"Ambiguous value for argument '(.+)'", str(error))
    if ambiguous:
        key, _, values = ambiguous[1].partition("=")
        return (
            f"{key} has several values, {values}. Add -m to run one experiment for each, "
            f"or write '{key}=[{values}]' if it is one list."
        )
    taken = re.search(r"An item is already at '(.+)'", str(error))
    if taken:
        return f"{taken[1]} is there already: write {taken[1]}=… without the +."
    if isinstance(cause, OmegaConfBaseException) and "Could not override" in str(error):
        return _unknown_key(cause)
    causes = [str(part) for part in _causes(error) if str(part)]
    return _one_line("\n".join(causes))


def _unknown_key(error: "OmegaConfBaseException") -> str:
    """Answer a key that does not exist, by its neighbours and by keys of that name elsewhere."""
    from omegaconf import DictConfig

    node, key = error.parent_node, str(error.key)
    if not isinstance(node, DictConfig):
        return _one_line(str(error))
    full = str(error.full_key)
    place = full[: -len(key) - 1]
    there = [str(name) for name in node if name != "hydra" and str(name)[0] != "_"]
    there += [] if place else [group for group in paths.groups() if group not in (*there, key)]
    elsewhere = [path for path in _keys(node._get_root()) if path.split(".")[-1] == key]
    near = nearest(key, there)
    if place:
        near = near.replace(" mean '", f" mean '{place}.")
    if elsewhere and not near:
        near = f" Did you mean '{elsewhere[0]}{_below(full, sys.argv[1:])}'?"
    hint = near or ("" if place and place not in paths.groups() else _meant(full, sys.argv[1:]))
    # A node without a target, such as `tags`, may take any key.
    add = f" To add it: +{full}=…" if place and "_target_" not in node and not hint else ""
    return f"There is no '{full}'.{hint} {place or 'A config'} has: {', '.join(there) or 'no keys'}.{add}"


def _below(key: str, words: Sequence[str]) -> str:
    """Return what follows a key in the word that names it: of a group whose values stand elsewhere, which of them."""
    word = next((word.partition("=")[0] for word in words if word.startswith(f"{key}.")), key)
    return word.removeprefix(key)


def _meant(key: str, words: Sequence[str]) -> str:
    """Return the hint for a key that has another name here, such as `learning_rate`."""
    given = next((word.partition("=")[2] for word in words if word.startswith(f"{key}=")), PLACEHOLDER)
    found = translated(key, given, words)
    return f" Did you mean '{found}'?" if found else ""


def _keys(node: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every value below a node, except Hydra's own."""
    from omegaconf import DictConfig

    if isinstance(node, DictConfig) and not node._is_missing():
        for key in node:
            if key != "hydra":
                yield f"{prefix}{key!s}"
                yield from _keys(node._get_node(key), f"{prefix}{key!s}.")
