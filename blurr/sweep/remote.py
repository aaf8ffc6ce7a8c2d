"""`python -m blurr.sweep.remote <descriptor>`: be the fork server of a worker on another machine."""

import os
import sys
from multiprocessing.connection import Connection

import hydra
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext

from blurr.config import composing, paths
from blurr.process import setup
from blurr.sweep.fork_server import serve
from blurr.sweep.job import experiment
from blurr.sweep.trial import Context


def main() -> None:
    """Receive the sweep's config, and then serve the connection as a local fork server does."""
    connection, parent = Connection(int(sys.argv.pop())), os.getppid()
    setup.make_ready()
    composing.prepare_process()
    config, threads = connection.recv()
    HydraConfig.instance().set_config(config)  # `${hydra:…}` is resolved from there
    with hydra.initialize_config_dir(str(paths.config_root()), version_base="1.3", job_name="blurr"):
        loader = GlobalHydra.instance().config_loader()
        context = Context(config, HydraContext(loader, Callbacks(config)), experiment)
        serve(connection, context, parent=parent, threads=threads)


if __name__ == "__main__":
    main()
