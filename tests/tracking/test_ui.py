"""`blurr ui`: MLflow's pages on the store of this folder."""

import json
import os
import signal
import subprocess
import sys
import urllib.request

import psutil
import pytest

from blurr.config import paths
from blurr.errors import InputError, ResourceError
from blurr.process.listening import address_of, bind
from blurr.tracking import ui


def test_a_store_that_is_not_there_is_not_made(work):
    with pytest.raises(InputError, match=r"There is no MLflow store sqlite:.*mlflow\.db yet"):
        ui.serve(None, "127.0.0.1", 0, experiment=None, say=print)
    assert not list(work.iterdir())


def test_a_taken_port_is_one_message(store_uri):
    with bind("127.0.0.1", 0) as other, pytest.raises(ResourceError, match="another program uses this port"):
        other.listen()
        ui.serve(store_uri, "127.0.0.1", other.getsockname()[1], experiment=None, say=print)


def test_an_experiment_that_is_not_there_is_named(store_uri):
    with pytest.raises(InputError, match="--experiment nothing: .* has no experiment of that name"):
        ui.serve(store_uri, "127.0.0.1", 0, experiment="nothing", say=print)


def test_a_page_is_on_the_side_of_trained_models():
    assert ui.page_of("http://x", "7") == "http://x/#/experiments/7/runs?workflowType=machine_learning"
    assert ui.page_of("http://x", None) == "http://x/#/experiments?workflowType=machine_learning"


@pytest.mark.parametrize(
    ("host", "name"),
    [("0.0.0.0", "localhost"), ("127.0.0.1", "127.0.0.1"), ("localhost", "localhost")],  # noqa: S104
)
def test_an_address_can_be_opened(host, name):
    with bind(host, 0) as taken:
        assert address_of(taken, host) == f"http://{name}:{taken.getsockname()[1]}"


@pytest.mark.slow
def test_it_serves_until_ctrl_c_and_leaves_no_process(store_uri, work):
    command = [sys.executable, "-m", "blurr", "ui", "--uri", store_uri, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(paths.PACKAGE.parent)}
    options = {"cwd": work, "env": environment, "text": True, "start_new_session": True}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        server = process.stdout.readline().split("/#")[0]
        address = f"{server}/ajax-api/2.0/mlflow/experiments/search?max_results=9"
        with urllib.request.urlopen(address, timeout=120) as answer:
            assert any(each["name"] == "blurr" for each in json.load(answer)["experiments"])
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    assert not psutil.wait_procs(family, timeout=60)[1]
