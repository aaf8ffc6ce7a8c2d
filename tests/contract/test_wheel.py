"""Contract 6: the wheel, installed in an empty environment, works in an empty folder."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from blurr import DISTRIBUTION
from blurr.config import paths

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built without network by the build backend that the dev extra installs."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory) -> Path:
    """The scripts of a new environment that holds the wheel, and borrows blurr's dependencies from this one."""
    folder = tmp_path_factory.mktemp("environment")
    builder = venv.EnvBuilder(with_pip=False, symlinks=True)
    builder.create(folder)
    context = builder.ensure_directories(folder)
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        context.env_exe,
        "install",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (site,) = folder.glob("lib/*/site-packages")
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "borrowed.pth").write_text("\n".join(sorted(borrowed)))
    return Path(context.bin_path)


def call(scripts: Path, folder: Path, *words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([scripts / words[0], *words[1:]], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_options_licence_and_types_but_no_tests(wheel):
    names = ZipFile(wheel).namelist()
    for group in paths.groups():
        for file in paths.options(group).values():
            assert f"blurr/{file.relative_to(paths.config_root().parent)}" in names
    assert {"blurr/py.typed", "blurr/report/report.html.jinja", "blurr/report/style.css"} <= set(names)
    assert wheel.name.startswith(f"{DISTRIBUTION.replace('-', '_')}-")
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith("tests") or name.endswith(".pyc")]


def test_the_description_on_a_package_index_links_to_nothing_that_is_not_there(wheel):
    archive = ZipFile(wheel)
    (name,) = (each for each in archive.namelist() if each.endswith("/METADATA"))
    description = archive.read(name).decode().partition("\n\n")[2]
    assert description.startswith("# blurr\n")
    assert re.findall(r"\]\((?!https?:)|!\[", description) == []
    assert "blurr run task=summarization model=bart" in description


@pytest.mark.slow
def test_the_source_archive_holds_what_its_tests_and_pages_read(tmp_path):
    command = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    kept = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    assert [name for name in kept if name not in names and not name.startswith(".")] == []


def test_the_installed_package_is_the_one_in_the_wheel(scripts, tmp_path):
    where = call(scripts, tmp_path, "python", "-c", "import blurr; print(blurr.__file__)")
    assert Path(where.strip()).is_relative_to(scripts.parent)


def test_it_composes_in_an_empty_folder_what_the_checkout_composes(scripts, tmp_path):
    words = ["run", "--cfg", "job", "task=summarization"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    checkout = subprocess.run(
        [sys.executable, "-m", "blurr.cli", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert call(scripts, tmp_path, "blurr", *words) == checkout.stdout
    assert call(scripts, tmp_path, "python", "-m", "blurr.run", *words[1:]) == checkout.stdout


def test_it_finds_the_users_own_options_and_shipped_experiments(scripts, tmp_path):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("# @package _global_\n# My claim.\nseed: 7\n")
    listed = call(scripts, tmp_path, "blurr", "ls", "experiments")
    for name in [*(name for name in paths.options("experiments")), "mine"]:
        assert name in listed
    assert "seed: 7" in call(scripts, tmp_path, "blurr", "run", "experiments=mine", "--cfg", "job")
    assert "summarization" in call(scripts, tmp_path, "blurr", "run", "--help")
