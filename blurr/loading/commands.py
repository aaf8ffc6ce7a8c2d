"""The command `blurr cache`, which lists or deletes the encoded rows that runs share."""

import argparse

from blurr.process.arguments import Commands
from blurr.process.next_steps import command, show_next


def add_cache(commands: Commands) -> None:
    """Add `cache` to the commands of `blurr`."""
    cache = commands.add(
        "cache",
        "list or delete the tokenized rows that runs share",
        _cache,
        about="They are made anew where a run needs them.",
        examples=["blurr cache ls", "blurr cache prune --days 7 --gigabytes 5"],
        part="about records",
    )
    cache.add_argument("action", choices=["ls", "prune", "clear"], help="prune deletes what --days and --gigabytes say")
    cache.add_argument("--days", metavar="N", type=float, default=30, help="prune: what was unused for so long")
    said = "prune: then the longest unused, until the rest fits (default: no limit)"
    cache.add_argument("--gigabytes", metavar="N", type=float, help=said)


def _cache(arguments: argparse.Namespace) -> int:
    from blurr.loading import cache
    from blurr.process.setup import cache_root
    from blurr.process.terminal import show

    if arguments.action == "ls":
        found = cache.entries()
    else:
        is_all = arguments.action == "clear"
        found = cache.prune(days=0 if is_all else arguments.days, gigabytes=None if is_all else arguments.gigabytes)
    show(f"{cache_root()}" if arguments.action == "ls" else "deleted", [("", e.key[:12], str(e)) for e in found])
    show_next({"delete the old": command("cache", "prune")} if found and arguments.action == "ls" else {})
    return 0
