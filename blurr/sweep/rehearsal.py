"""Load what trials need into the process that is forked for each of them."""

from omegaconf import DictConfig

from blurr.building import build


def rehearse(config: DictConfig) -> None:
    """Import the experiment and open the store, so that no trial has to.

    Args:
        config: of the sweep.
    """
    import blurr.experiment  # noqa: F401  # takes ten seconds, and the trials have it then

    build(config.tracking).prepare()
