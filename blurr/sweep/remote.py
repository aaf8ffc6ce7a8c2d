"""`python -m blurr.sweep.remote <descriptor>`: be the process that trials are forked from, for a worker elsewhere."""

import sys
from multiprocessing.connection import Connection

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext

from blurr.config import composing, paths
from blurr.sweep.fork_server import keep
from blurr.sweep.job import experiment
from blurr.sweep.trial import Context


def main() -> None:
    """Take the sweep's config from the connection, and then serve it as a local process would."""
    connection = Connection(int(sys.argv.pop()))
    composing.prepare_process()
    config, threads = connection.recv()
    HydraConfig.instance().set_config(config)  # `${hydra:…}` is resolved from there
    with hydra.initialize_config_dir(str(paths.config_root()), version_base="1.3", job_name="blurr"):
        loader = GlobalHydra.instance().config_loader()
        context = Context(config, HydraContext(loader, Callbacks(config)), experiment)
        keep(connection, context, threads=threads)


if __name__ == "__main__":
    main()
