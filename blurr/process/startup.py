"""Measure how long a run takes to start: what is loaded before the first row is read, and the time of each part."""

import json
import subprocess
import sys
import time

# In the order in which a run loads them. What two parts share counts for the first.
PARTS = {
    "Hydra and the options": "from blurr.config import composing as c; c.prepare_process(); c.compose([])",
    "torch": "import torch",
    "transformers": "from blurr.process import imports; imports.import_libraries('transformers.modeling_utils')",
    "datasets": "import datasets",
    "fastai": "from blurr.process import imports; imports.import_libraries('fastai.basics', 'fastai.learner')",
    "blurr": "import blurr.experiment",
    "MLflow": "import blurr.tracking.mlflow_sink",
}
PROBE = """
import json, sys, time
for name, code in json.loads(sys.argv[1]).items():
    clock, processor = time.perf_counter(), time.process_time()
    exec(code, {})
    print(json.dumps([name, time.perf_counter() - clock, time.process_time() - processor]))
"""


def startup_times() -> list[tuple[str, float, float]]:
    """Load everything again, in a new process.

    Returns:
        For each part its name, seconds of wall time, and seconds of CPU time. Wall time is longer if files are read
        from a slow disk or other programs are busy.
    """
    begun = time.perf_counter()
    command = [sys.executable, "-W", "ignore", "-c", PROBE, json.dumps(PARTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    whole = time.perf_counter() - begun
    parts = [(name, clock, cpu) for name, clock, cpu in map(json.loads, done.stdout.splitlines())]
    rest = whole - sum(clock for _, clock, _ in parts)
    return [("Python, and leaving it", rest, rest), *parts]
