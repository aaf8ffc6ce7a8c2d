"""The garbage collector's holiday while a process starts."""

import subprocess
import sys

CHECK = """
import gc
from blurr.process import setup as garbage
garbage.collect_rarely()
assert gc.get_threshold()[0] > 10_000
kept = [[] for _ in range(1000)]
garbage.collect_as_usual()
assert gc.get_threshold() == garbage.USUAL
assert gc.get_freeze_count() > 1000
ring = []
ring.append(ring)
del ring
assert gc.collect() == 1
"""


def test_what_is_there_is_left_alone_and_what_comes_later_is_collected_as_ever():
    subprocess.run([sys.executable, "-c", CHECK], check=True)
