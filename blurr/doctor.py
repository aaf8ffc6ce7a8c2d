"""Examine the machine and the installation: what is broken, and how to fix it. Imports nothing heavy itself."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psutil  # type: ignore[import-untyped]
from packaging.requirements import Requirement

import blurr
from blurr.config import paths
from blurr.config.store import WHERE, store_uri
from blurr.errors import how_to_install
from blurr.process.setup import free_cores, usable_cores
from blurr.tracking.environment import describe_environment

HUB_SECONDS = 3
MISMATCH = "operator torchvision::nms does not exist"
# Runs in another process: a broken torch may crash the interpreter. It names the GPUs, and takes the shortest time of a
# step of a layer as in MiniLM, on 16 rows of 64 tokens, with each number of threads in turn, for 1.5 seconds.
TORCH_PROBE = """
import json, sys, time, torch, torchvision
cuda = torch.cuda.is_available()
gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count() if cuda else 0)]
mps = torch.backends.mps.is_available()
layer = torch.nn.TransformerEncoderLayer(384, 12, 1536, batch_first=True)
rows, until, best = torch.randn(16, 64, 384), time.perf_counter() + 1.5, {}
layer(rows).sum().backward()
while not best or time.perf_counter() < until:
    for number in map(int, sys.argv[1:]):
        torch.set_num_threads(number)
        started = time.perf_counter()
        layer(rows).sum().backward()
        best[number] = min(best.get(number, 1e9), time.perf_counter() - started)
named = [f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in gpus]
print(json.dumps({"gpus": named, "mps": mps, "seconds": best}))
"""
FASTER = 1.05  # times as fast that a number of threads has to be to be named; what is below is noise
BUSY = 0.2  # share of the cores that other processes use; above, what is measured depends on them


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was examined, what was found, and how to fix it ('' if nothing is broken)."""

    subject: str
    found: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Yield the findings, in the order in which one would look for a cause."""
    facts = describe_environment(None)
    yield Finding("blurr", f"{blurr.__version__} in {paths.PACKAGE}")
    yield Finding("Python", f"{facts['python']}, {sys.executable}")
    yield Finding("platform", str(facts["platform"]))
    yield Finding("CPU", f"{facts['cpu']['count']} cores, {facts['memory_gib']} GiB memory")
    yield from packages()
    yield from torch()
    yield pictures()
    yield sounds()
    yield hub()
    yield options()
    yield launch_folder(Path.cwd())
    yield Finding("MLflow store", f"{store_uri()} ({WHERE})")


def packages() -> Iterator[Finding]:
    """Compare what is installed with what blurr requires, and look for the package of somebody else that is `blurr`."""
    with suppress(PackageNotFoundError):
        yield Finding(
            "blurr",
            f"{version('blurr')} of another package with this name, whose modules lie in the same folder",
            f"pip uninstall -y blurr && pip install --force-reinstall --no-deps {blurr.DISTRIBUTION}",
        )
    for requirement in sorted(_requirements(), key=lambda each: each.name.lower()):
        wanted = str(requirement.specifier) or "any version"
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            yield Finding(requirement.name, "not installed", f"pip install '{requirement}'")
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        yield Finding(requirement.name, f"{found} ({wanted})", "" if fits else f"pip install '{requirement}'")


def torch() -> Iterator[Finding]:
    """Load torch and torchvision, which must be builds that match, name the GPUs, and measure numbers of threads."""
    auto, cores = free_cores(), usable_cores()
    busy = psutil.cpu_percent(interval=0.2) / 100
    numbers = sorted({1, auto, cores, *(1 << power for power in range(cores.bit_length()))})
    command = [sys.executable, "-c", TORCH_PROBE, *map(str, numbers)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # as runs have it
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        yield Finding("torch and torchvision", *torch_failure(done.stderr))
        return
    seen = json.loads(done.stdout.splitlines()[-1])
    yield Finding("GPU", "; ".join(seen["gpus"]) or ("Apple MPS" if seen["mps"] else "none, runs use the CPU"))
    seconds = {int(number): taken for number, taken in seen["seconds"].items()}
    yield Finding("threads", threads_found(seconds, auto=auto, busy=busy, cores=cores))


def threads_found(seconds: Mapping[int, float], *, auto: int, busy: float, cores: int) -> str:
    """Return what was measured in words.

    Args:
        seconds: number of threads to the shortest time of a step.
        auto: what `threads=auto` takes.
        busy: share of the machine that other processes used just before.
        cores: number that this process may use.
    """
    best = min(seconds, key=lambda number: seconds[number])
    times = seconds[auto] / seconds[best]
    said = f"threads=auto takes {auto} of {cores} cores, the same each time; "
    if times >= FASTER:
        said += f"threads={best} is {times:.2f} times as fast on a small model"
    else:
        said += f"no other of {sorted(seconds)} is faster on a small model"
    other = f"; other processes keep {busy:.0%} of the machine busy: look again when it is free"
    return said + (other if busy > BUSY else "")


def torch_failure(error: str) -> tuple[str, str]:
    """Return what a failed import of torch and torchvision means, and how to fix it.

    Args:
        error: what the failed process wrote to stderr.
    """
    last = error.strip().splitlines()[-1] if error.strip() else "the process died without a message"
    both = "pip uninstall -y torch torchvision && pip install torch torchvision"
    if MISMATCH in error or "torchvision" in last:
        return f"two builds that do not match: {last}", f"install both from one index, in one command: {both}"
    return last, both


def pictures() -> Finding:
    """Say which kinds of pictures Pillow reads here."""
    from PIL import __version__, features

    codecs = {"jpg": "JPEG", "zlib": "PNG", "webp": "WebP", "avif": "AVIF", "libtiff": "packed TIFF"}
    found = {name: features.check(codec) for codec, name in codecs.items()}
    there, missing = ([name for name, is_there in found.items() if is_there is value] for value in (True, False))
    without = f"; not {', '.join(missing)}" if missing else ""
    return Finding("pictures", f"Pillow {__version__} reads {', '.join(there)}, BMP, GIF{without}")


def sounds() -> Finding:
    """Say which kinds of sounds libsndfile reads here; only tasks of sounds need it."""
    try:
        soundfile, soxr = import_module("soundfile"), import_module("soxr")
    except (ImportError, OSError) as error:
        return Finding("sounds", f"none are read: {error}; to train on them: {how_to_install('audio')}")
    kinds, forms = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3"}, soundfile.available_formats()
    there, missing = ([kind for form, kind in kinds.items() if (form in forms) is value] for value in (True, False))
    without = f"; not {', '.join(missing)}" if missing else ""
    reads = f"libsndfile {soundfile.__libsndfile_version__} reads {', '.join(there)}{without}"
    return Finding("sounds", f"{reads}; soxr {soxr.__version__} resamples")


def hub() -> Finding:
    """Ask whether the Hub answers within 3 seconds; nothing is broken if not, for blurr runs without it."""
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    host = urlsplit(endpoint).hostname or "?"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return Finding("Hub", f"{host} is not asked, because HF_HUB_OFFLINE is set")
    answers: list[str] = []
    # In a thread, because looking up the host's name has no time limit.
    asking = Thread(target=lambda: answers.append(_ask(endpoint)), daemon=True)
    asking.start()
    asking.join(HUB_SECONDS)
    answer = answers[0] if answers else f"no answer within {HUB_SECONDS} s"
    advice = (
        "" if answer == "answers" else "; model.weights=auto trains from scratch, cached and local checkpoints work"
    )
    return Finding("Hub", f"{host}: {answer}{advice}")


def options() -> Finding:
    """Say which folders hold the options."""
    try:
        root = paths.config_root()
    except FileNotFoundError as error:
        return Finding("options", "none", str(error))
    own = paths.own_root()
    folders = [group for group in paths.groups() if own and any((own / group).glob("*.yaml"))]
    return Finding("options", f"{root}" + (f", and your own in {own}: {', '.join(folders)}" if folders else ""))


def launch_folder(folder: Path) -> Finding:
    """Say whether a run can write its results here."""
    if os.access(folder, os.W_OK):
        return Finding("launch folder", f"{folder}, writable")
    return Finding("launch folder", f"{folder}, not writable", "start blurr in a folder of your own")


def _requirements() -> list[Requirement]:
    """Return what blurr requires; nothing if it runs from a checkout that was never installed."""
    try:
        texts = requires(blurr.DISTRIBUTION) or []
    except PackageNotFoundError:
        return []
    return [each for each in map(Requirement, texts) if each.marker is None or each.marker.evaluate({"extra": ""})]


def _ask(endpoint: str) -> str:
    try:
        with urlopen(Request(endpoint, method="HEAD"), timeout=HUB_SECONDS):  # nosec B310  # named by the user
            return "answers"
    except HTTPError as error:
        return f"answers {error.code} {error.reason}"
    except URLError as error:
        return f"no answer ({error.reason})"
    except (OSError, ValueError) as error:
        return f"no answer ({error})"
