"""Say which of several processes this one is, by what torchrun, accelerate, srun or blurr put into its environment."""

import os
import re

RANK, LOCAL_RANK, WORLD = "RANK", "LOCAL_RANK", "WORLD_SIZE"  # torchrun's names, which accelerate sets, too
ADDRESS, PORT = "MASTER_ADDR", "MASTER_PORT"
# srun's names; in a batch script, outside of srun, there is no SLURM_STEP_NUM_TASKS
OF_SRUN = {RANK: "SLURM_PROCID", LOCAL_RANK: "SLURM_LOCALID", WORLD: "SLURM_STEP_NUM_TASKS"}
HERE = "127.0.0.1"


def world() -> int:
    """Return how many processes train together."""
    return int(_given().get(WORLD, 1))


def is_first() -> bool:
    """Is this the process that speaks and writes? One alone is."""
    return int(_given().get(RANK, 0)) == 0


def name() -> str:
    """Return how messages call this process; they count from 1."""
    return f"Process {int(_given().get(RANK, 0)) + 1} of {world()}"


def adopt_srun() -> None:
    """Set what torchrun would have set, if srun has started several processes."""
    found = _given()
    if RANK in os.environ or not found:
        return
    job = int(os.environ.get("SLURM_JOB_ID", 0))
    os.environ.update(found)
    os.environ.setdefault(ADDRESS, first_host(os.environ.get("SLURM_STEP_NODELIST", HERE)))
    os.environ.setdefault(PORT, str(20_000 + job % 10_000))  # so that jobs which share a node have ports of their own


def environment_of(rank: int, world: int, address: tuple[str, int]) -> dict[str, str]:
    """Return what torchrun sets for a process that is alone of its kind on a machine or GPU.

    Args:
        rank: of the process.
        world: number of the processes.
        address: host and port where they meet, on the machine of the first.
    """
    host, port = address
    return {RANK: str(rank), LOCAL_RANK: "0", WORLD: str(world), ADDRESS: host, PORT: str(port)}


def _given() -> dict[str, str]:
    """Return the rank of this process and the number of all; nothing where nobody has started several."""
    if RANK in os.environ and WORLD in os.environ:
        return {name: os.environ.get(name, "0") for name in (RANK, LOCAL_RANK, WORLD)}
    found = {name: os.environ[theirs] for name, theirs in OF_SRUN.items() if theirs in os.environ}
    return found if len(found) == len(OF_SRUN) and found[WORLD] != "1" else {}


def first_host(nodes: str) -> str:
    """Return the first host of a list as SLURM writes it, such as `gpu[03-05,9],cpu1`."""
    found = re.match(r"([^,\[]+)(?:\[(\w+)[^\]]*\])?([^,\[]*)", nodes)
    return "".join(part or "" for part in found.groups()) if found else nodes
