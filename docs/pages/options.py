"""Make a page for each group of options: every option with its keys, values, types and bounds."""

from pathlib import Path

from blurr.config import paths
from docs.pages.knobs import Knob, base, chosen, knobs, targets
from docs.pages.markdown import block, code, page, table, text

FOLDER = "reference/options"
HEADS = ("key", "value", "what it is", "type and bounds")


def make() -> dict[str, str]:
    """Return the pages by their paths in the site."""
    words = {group: word for group, _, word in paths.contents()}
    pages = {f"{FOLDER}/{group}.md": _group(group, words[group]) for group in paths.groups()}
    return {f"{FOLDER}/index.md": _index(words), **pages}


def _index(words: dict[str, str]) -> str:
    there = [[f"[`{group}`]({group}.md)", _usual(group), text(word)] for group, word in words.items()]
    return page(
        "Options",
        "A config is composed of one option of each group, and of the values below, which stand in no group. "
        "`blurr ls GROUP` lists the options of a group, with yours among them; `blurr run --cfg job` prints the whole "
        "config of a command line, and `blurr plan` says what it means.",
        table(("group", "default", "what it is"), there),
        "## Values outside of groups",
        _table(knobs("", paths.config_file())),
    )


def _usual(group: str) -> str:
    return next((code(default) for name, default, _ in paths.contents() if name == group and default), "")


def _group(group: str, word: str) -> str:
    parts = [f"{word[0].upper()}{word[1:]}."]
    parts += [_option(group, name, file) for name, file in paths.options(group).items()]
    for inner in sorted(folder.name for folder in paths.shipped_folder(group).iterdir() if folder.is_dir()):
        for name, file in paths.options(f"{group}/{inner}").items():
            parts.append(_option(f"{group}/{inner}", name, file))
    return page(group, *parts)


def _option(group: str, name: str, file: Path) -> str:
    found = knobs(group, file)
    parts = [f"## {group}={name}", text(paths.headline(file)), block(_command(file), "bash")]
    if group == "experiments":
        return "\n\n".join([*parts, block(_without_comments(file), "yaml")])
    takes, built_on = chosen(group, file), base(group, file)
    if built_on:
        parts.append(f"It is [`{group}={built_on}`](#{_anchor(group, built_on)}) with the values below.")
    if takes:
        parts.append(f"It chooses {' '.join(map(code, takes))}, unless the command line does.")
    parts += [_table(found)] if found else []
    sources = dict.fromkeys(targets(group, file).values())
    if sources:
        parts.append(f"Taken by {', '.join(map(code, sources))}.")
    return "\n\n".join(parts)


def _anchor(group: str, name: str) -> str:
    return f"{group}{name}".replace("/", "").lower()


def _command(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(line.removeprefix("# ") for line in lines if line.startswith("# blurr run"))


def _without_comments(file: Path) -> str:
    return "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))


def _table(found: list[Knob]) -> str:
    return table(HEADS, ([code(each.key), code(each.value), text(each.comment), text(each.type)] for each in found))
