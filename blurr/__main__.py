"""`blurr`, `python -m blurr`: answer signals from the first moment, then load the rest."""

from blurr.process import signals


def main() -> None:
    """Run the `blurr` command."""
    signals.end_at_once()

    from blurr import cli

    cli.main()


if __name__ == "__main__":
    main()
