"""Take a port to listen at, and say at which address that is."""

import errno
import socket
from contextlib import ExitStack

from blurr.errors import InputError, ResourceError

WILDCARDS = ("", "0.0.0.0", "::")  # nosec B104  # compared with, never bound


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that has a port, and does not listen yet.

    Raises:
        InputError: the port or host does not exist, or only the system may use it.
        ResourceError: another program uses the port.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"--port {port}: a port is a number from 0 to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with ExitStack() as undo:
            made = undo.enter_context(socket.socket(family, kind, protocol))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            undo.pop_all()
    except OSError as error:
        at = f"--host {host} --port {port}"
        if error.errno == errno.EADDRINUSE:
            raise ResourceError(f"{at}: another program uses this port. Give another --port.") from error
        raise InputError(f"{at}: this machine cannot listen there ({error.strerror}).") from error
    return made


def address_of(listening: socket.socket, host: str) -> str:
    """Return the address to open in a browser of this machine.

    Args:
        listening: has the port.
        host: the name that the user gave.
    """
    port = listening.getsockname()[1]
    name = "localhost" if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as listening:
        listening.bind(("", 0))
        port: int = listening.getsockname()[1]
        return port
