"""Keep Python's garbage collector away from what stays until the end anyway: modules, and what they made.

It goes through all of them, again and again, while a process starts, and once more when it ends: with the libraries
of this field a third of both.
"""

import atexit
import gc

USUAL = gc.get_threshold()


def collect_rarely() -> None:
    """Let it look a hundred times less often while things are loaded, and not at all when the process ends."""
    gc.set_threshold(100 * USUAL[0], *USUAL[1:])
    atexit.register(gc.freeze)


def collect_as_usual() -> None:
    """Have it work as ever from now on, but for what there is already."""
    gc.freeze()
    gc.set_threshold(*USUAL)
