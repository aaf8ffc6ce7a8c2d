"""A million rows are read, split, encoded, trained on and described under a limit of the process's memory."""

import os
import random
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEW, MANY, MORE = 1_000, 1_000_000, 2**30
SCRATCH = [
    *("model=bert", "model.weights=scratch", "model.scratch_vocab=500", "model.scratch.hidden_size=16"),
    *("model.scratch.num_hidden_layers=1", "model.scratch.num_attention_heads=2", "model.scratch.intermediate_size=16"),
]


def written(path: Path, rows: int) -> Path:
    rng = random.Random(rows)
    words = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in "bdfgklmn"]
    with path.open("w") as out:
        out.write("text,label\n")
        for _ in range(rows):
            out.write(f"{' '.join(rng.choices(words, k=rng.randint(5, 30)))},{rng.choice(('good', 'bad'))}\n")
    return path


def trained(data: Path, out: Path, *words: str, limit: int = resource.RLIM_INFINITY) -> int:
    """Train in a process with so many bytes of its own at most; return how many it had at most."""
    every = ("data=files", f"data.train={data}", "schedule.steps=20", "tracking=none", "report=false")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BLURR_CACHE": str(out.parent / "cache")}
    # Arrow's own allocator takes addresses for gigabytes at once, which count whether or not they are used
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    said = data.with_suffix(".txt")
    with said.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "blurr.run", *every, f"output_dir={out}", *words],
            env=environment,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
            stdout=file,
            stderr=file,
        )
    most = 0
    while process.poll() is None:
        found = re.search(r"VmData:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        most = max(most, int(found[1]) * 1024 if found else 0)
        time.sleep(0.05)
    assert process.returncode == 0, said.read_text()[-2000:]
    return most


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit what RLIMIT_DATA does")
def test_a_million_rows_take_less_than_a_gigabyte(tmp_path: Path):
    few = trained(written(tmp_path / "few.csv", FEW), tmp_path / "few", *SCRATCH)
    model = ("model=auto", f"model.name={tmp_path / 'few' / 'model'}")
    many = written(tmp_path / "many.csv", MANY)
    trained(many, tmp_path / "many", *model, limit=few + MORE)
    assert (tmp_path / "many" / "metrics.json").exists()
    with (tmp_path / "many" / "predictions.jsonl").open() as rows:
        assert sum(1 for _ in rows) == MANY // 5
