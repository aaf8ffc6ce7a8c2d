"""The garbage collector's holiday while a process starts, and a home folder for users without one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from blurr.process import setup

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


class TestHome:
    def test_a_user_with_a_home_folder_keeps_it(self, tmp_path: Path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert setup.home() == tmp_path

    @pytest.mark.parametrize("named", ["/nonexistent", "~", "relative", "/dev/null"])
    def test_one_without_gets_a_folder_of_their_own_the_same_each_time(self, named, tmp_path: Path, monkeypatch):
        monkeypatch.setenv("HOME", named)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        made = setup.home()
        assert made == setup.home() == tmp_path / f"blurr-home-{os.getuid()}"
        assert made.stat().st_mode & 0o777 == 0o700

    def test_a_name_that_somebody_else_has_taken_is_not_used(self, tmp_path: Path, monkeypatch):
        monkeypatch.setenv("HOME", "/nonexistent")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        (tmp_path / "theirs").mkdir()
        (tmp_path / f"blurr-home-{os.getuid()}").symlink_to(tmp_path / "theirs")
        made = setup.home()
        assert made.name.startswith("blurr-home-")
        assert not made.is_symlink()
        assert not any((tmp_path / "theirs").iterdir())
