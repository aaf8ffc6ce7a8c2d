"""The command `blurr cache`, which lists or deletes the encoded rows that runs share."""

import argparse
from typing import Any


def add_cache(commands: Any) -> None:
    """Add `cache` to the subparsers of `blurr`."""
    cache = commands.add_parser("cache", help="list or delete the tokenized rows that runs share")
    cache.add_argument("action", choices=["ls", "prune", "clear"], help="prune deletes what --days and --gigabytes say")
    cache.add_argument("--days", type=float, default=30, help="prune: unused for so long (default %(default)s)")
    cache.add_argument("--gigabytes", type=float, help="prune: then the longest unused, until the rest fits")
    cache.set_defaults(command=_cache)


def _cache(arguments: argparse.Namespace) -> int:
    from blurr.loading import cache
    from blurr.process.terminal import show

    if arguments.action == "ls":
        found = cache.entries()
    else:
        is_all = arguments.action == "clear"
        found = cache.prune(days=0 if is_all else arguments.days, gigabytes=None if is_all else arguments.gigabytes)
    show(f"{cache.root()}" if arguments.action == "ls" else "deleted", [("", e.key[:12], str(e)) for e in found])
    return 0
