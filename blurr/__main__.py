"""`blurr`, `python -m blurr`: answer signals and say what is about to happen, then load the rest."""

import sys

from blurr.process import signals


def main() -> None:
    """Run the `blurr` command."""
    signals.end_at_once()

    from blurr.runs import opening

    opening.announce(sys.argv[1:])

    from blurr import cli

    cli.main()


if __name__ == "__main__":
    main()
