"""`python -m blurr.run task=… model=…`: compose a config from its options and run one experiment, or a grid with -m."""

import sys

if __name__ == "__main__":  # before the imports below, which take a second
    from blurr.process import signals
    from blurr.process.arguments import RUN
    from blurr.runs import opening

    signals.end_at_once()
    opening.announce([RUN, *sys.argv[1:]])

import hydra

from blurr.commands import help_of_run
from blurr.config import composing, destinations, explain, paths
from blurr.config.words import check_words
from blurr.process import launched, setup
from blurr.runs import resume
from blurr.sweep import resuming, together
from blurr.sweep.job import experiment
from blurr.tracking.finding import find_run


def hand_to_hydra() -> None:
    """Let Hydra compose the config of the command line, and run it or a sweep of it."""
    launched.adopt_srun()
    if not launched.is_first():
        together.follow()
        return
    with together.telling_others():
        given = sys.argv[1:]
        explain.check_flags(given)
        check_words(given)
        together.check_no_sweep(given)
        sys.argv[1:] = resume.expand(resuming.expand(given), find_run)
        destinations.remember(given, sys.argv[1:])
        composing.prepare_process()
        hydra.main(config_path=str(paths.config_root()), config_name="config", version_base="1.3")(experiment)()


def main() -> None:
    """Run the command line, and answer its mistakes in blurr's words."""
    with explain.Answering():
        setup.make_ready()
        if help_of_run.is_wanted(sys.argv[1:]):
            help_of_run.show()
        else:
            hand_to_hydra()


if __name__ == "__main__":
    main()
