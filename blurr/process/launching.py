"""Go on as several processes that train together, watch over them, and end as the first of them does.

The first one, of rank 0, speaks and writes; the others say nothing unless they fail.
"""

import logging
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import psutil  # type: ignore[import-untyped]

from blurr.errors import visible
from blurr.process import terminal
from blurr.process.children import die_with
from blurr.process.launched import ADDRESS, HERE, LOCAL_RANK, PORT, RANK, WORLD
from blurr.process.listening import free_port
from blurr.process.next_steps import command
from blurr.process.signals import SIGNALS
from blurr.process.systems import check_fork

TICK_SECONDS = 0.05
NOTICE_SECONDS = 15.0  # for the first process to notice that another has died, and to close its MLflow run
LAST_SECONDS = 20.0  # for the others to end after the first has ended well
MOST_LETTERS = 4000  # of what a process has said that failed
# To the first; a sweep sends SIGUSR2 for a traceback. Not every system has it.
PASSED_ON = (*SIGNALS, *(each for each in signal.Signals if each.name == "SIGUSR2"))


@dataclass
class Member:
    """One of the processes.

    Attributes:
        name: for messages, counted from 1.
        pid: the process id.
        output: what it has said, unless that is the terminal's.
        code: with which it has ended; below 0 the signal that killed it; None while it lives.
    """

    name: str
    pid: int
    output: IO[bytes] | None
    code: int | None = None

    def look(self) -> bool:
        """See whether it has ended just now."""
        if self.code is not None:
            return False
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        self.code = os.waitstatus_to_exitcode(status) if pid else None
        return pid != 0

    def send(self, signum: int) -> None:
        """Send it a signal, if it lives."""
        if self.code is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """End it at once, if it lives."""
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def how(self) -> str:
        """Return how it has ended, and the last of what it said."""
        code = self.code or 0
        how = f"has ended with exit code {code}" if code >= 0 else f"was killed ({signal.Signals(-code).name})"
        if code == -signal.SIGKILL:
            return f"{self.name} {how}, as when the system runs out of memory."
        return f"{self.name} {how}.{self._said()}"

    def _said(self) -> str:
        if self.output is None:
            return ""
        self.output.seek(0)
        text = self.output.read().decode(errors="replace").strip()
        return f" It said:\n{visible(text[-MOST_LETTERS:])}" if text else ""


_deaths: list[int] = []  # where the first process reads which other has died


def become(count: int, *, folder: str | None) -> None:
    """Go on as `count` processes: this returns in each of them, and never in the process that calls it.

    That one watches over them, and ends with the exit code of the first; if it dies, the system kills them.

    Args:
        count: of the processes.
        folder: of the run, with which the user can go on. The processes are out of reach of the terminal's Ctrl-C,
            which is passed on to the first alone. None for a trial of a sweep, which explains and stops it.

    Raises:
        ResourceError: this system cannot fork.
    """
    check_fork("A training in several processes forks them from one")
    terminal.rest()  # the thread that moves the line must not be forked
    os.environ.update({WORLD: str(count), ADDRESS: HERE, PORT: os.environ.get(PORT) or str(free_port())})
    os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())  # a host's name need not lead to itself
    sys.stdout.flush()
    sys.stderr.flush()
    parent, (reader, writer) = os.getpid(), os.pipe()
    members: list[Member] = []
    for rank in range(count):
        output = tempfile.TemporaryFile() if rank else None  # noqa: SIM115  # open while the process lives
        pid = os.fork()
        if not pid:
            os.close(writer)
            _deaths.append(reader)
            _begin(rank, parent, output)
            return
        if folder is not None:  # here, where the group of the first is known to be there
            os.setpgid(pid, members[0].pid if members else pid)
        members.append(Member(f"Process {rank + 1} of {count}", pid, output))
    os.close(reader)
    code = _watch(members, writer, folder=folder)
    if code < 0:
        _die_of(-code)
    os._exit(code)


def _begin(rank: int, parent: int, output: IO[bytes] | None) -> None:
    die_with(parent)
    os.environ.update({RANK: str(rank), LOCAL_RANK: str(rank)})
    if output is None:
        terminal.take_over()
    else:
        hush(output)


def hush(output: IO[bytes]) -> None:
    """Send what this process says, and logs, to a file of its own."""
    for stream in (1, 2):
        os.dup2(output.fileno(), stream)
    logging.getLogger("blurr").setLevel(logging.WARNING)
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, logging.FileHandler)]:
        root.removeHandler(handler)  # the log of the run's folder is the first's


def _watch(members: Sequence[Member], writer: int, *, folder: str | None) -> int:
    """Wait for the end of all; return the exit code, below 0 for a signal that is not explained here."""
    first, *others = members
    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda signum, _: first.send(signum))
    signal.signal(signal.SIGTSTP, lambda *_: _pause(members))
    cause, until = _await_first(first, others, writer)
    if cause is not None and until < time.monotonic() and first.code == -signal.SIGKILL:
        _say(f"{cause.how()}\n{first.name} did not notice that in {NOTICE_SECONDS:.0f} seconds, and was ended.")
        code = 2 if cause.code == 2 else 1
    else:
        code = first.code or 0
        code = _code_of_killed(first, folder) if code < 0 and folder is not None else code
    _end(others, LAST_SECONDS if code == 0 else 1.0)
    return code


def _await_first(first: Member, others: Sequence[Member], writer: int) -> tuple[Member | None, float]:
    """Wait for the end of the first process; end it where it has not noticed for long that another has died.

    Returns:
        Which other one failed first, and until when that had to be noticed.
    """
    cause, until = None, float("inf")
    while not first.look():
        failed = [each for each in others if each.look() and each.code != 0]
        if failed and cause is None:
            cause, until = failed[0], time.monotonic() + NOTICE_SECONDS
            os.write(writer, cause.how().encode()[: select.PIPE_BUF])
        if time.monotonic() > until:
            first.kill()
            break
        time.sleep(TICK_SECONDS)
    return cause, until


def _code_of_killed(first: Member, folder: str) -> int:
    """Say that the first process was killed, unless somebody has asked for it; return the exit code."""
    number = -(first.code or 0)
    if number in SIGNALS:  # a second Ctrl-C, say
        return 128 + number
    _say(f"{first.how()} Go on with: {command('run', f'resume={folder}')}")
    return 1


def _end(members: Sequence[Member], seconds: float) -> None:
    """Wait for the end of processes, and then kill them."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(each.code is None for each in members):
        for each in members:
            each.look()
        time.sleep(TICK_SECONDS)
    for each in members:
        each.kill()


def _pause(members: Sequence[Member]) -> None:
    """Stop, as Ctrl-Z asks for, with all of the processes; go on with them."""
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for each in members:
            each.send(number)
        if number == signal.SIGSTOP:
            os.kill(os.getpid(), number)  # until the shell continues it


def _die_of(number: int) -> None:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _say(message: str) -> None:
    os.write(2, f"{message}\n".encode())


def is_forked() -> bool:
    """Is this one of the processes that `become` has made?"""
    return bool(_deaths)


def death(seconds: float) -> str | None:
    """Return which other process has died and how, as the one that watches over all says; None if it says nothing."""
    if not _deaths or not select.select(_deaths, [], [], seconds)[0]:
        return None
    return os.read(_deaths[0], select.PIPE_BUF).decode(errors="replace") or None


def _loopback() -> str:
    found = psutil.net_if_addrs().items()
    return next((name for name, addresses in found if any(each.address == HERE for each in addresses)), "lo")
