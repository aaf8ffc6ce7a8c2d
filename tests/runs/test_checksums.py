"""A byte that has changed is found, whichever it is."""

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from blurr.runs import checksums
from blurr.runs.checksums import Damaged, open_line, put, seal, seal_line, sealed_by, sealed_files, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    (made / "a.bin").write_bytes(random.Random(0).randbytes(300_000))
    (made / "empty").write_text("")
    (made / "below" / "ü.json").write_text('{"a": "ö"}')
    seal(made, identity="me")
    return made


def test_a_sealed_folder_is_as_it_was_written(folder: Path):
    verify(folder)
    assert sealed_by(folder) == "me"
    assert sorted(sealed_files(folder)) == ["a.bin", "below/ü.json", "empty"]


@pytest.mark.parametrize(("of_folder", "of_file"), [(0o750, 0o640), (0o700, 0o600), (0o755, 0o644)], ids=oct)
def test_whoever_reads_a_sealed_folder_reads_its_files(tmp_path: Path, of_folder: int, of_file: int):
    """The weights of a model were for their owner alone, and a server of another user could not load them."""
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    tmp_path.chmod(of_folder)
    seal(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == of_file
    verify(tmp_path)


@pytest.mark.parametrize("name", ["a.bin", "below/ü.json", checksums.SEAL])
def test_any_flipped_bit_is_found(folder: Path, name: str):
    rng, whole = random.Random(name), (folder / name).read_bytes()
    places = range(len(whole)) if len(whole) < 1000 else rng.sample(range(len(whole)), 20)
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        (folder / name).write_bytes(changed)
        with pytest.raises(Damaged, match="is not as it was written|is missing"):
            verify(folder)
    (folder / name).write_bytes(whole)
    verify(folder)


@pytest.mark.parametrize("size", [0, 1, 299_999])
def test_a_file_that_was_cut_off_is_found(folder: Path, size: int):
    (folder / "a.bin").write_bytes((folder / "a.bin").read_bytes()[:size])
    with pytest.raises(Damaged, match=rf"a\.bin is not as it was written: it has {size} bytes, and had 300000"):
        verify(folder)


def test_a_file_that_is_gone_is_found(folder: Path):
    (folder / "empty").unlink()
    with pytest.raises(Damaged, match="empty is missing"):
        verify(folder)


def test_one_file_can_be_looked_at_alone(folder: Path):
    (folder / "a.bin").write_bytes(b"")
    verify(folder, "empty")


def test_files_outside_of_the_folder_are_never_named(folder: Path):
    (folder / checksums.SEAL).write_text(
        seal_line(json.dumps({"identity": None, "files": {"../x": [0, ""], "/y": [0, ""], "a/../../z": [0, ""]}}))
    )
    assert sealed_files(folder) == []


def test_what_is_put_into_a_folder_leaves_what_lies_there(folder: Path, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("a: 1")
    put(folder, tmp_path / "model")
    verify(tmp_path / "model")
    assert (tmp_path / "model" / "mine.yaml").read_text() == "a: 1"
    assert not folder.exists()


@pytest.mark.parametrize("value", [{"a": 1}, {"text": ', "sum": "x"}'}, {"a": {"b": [1, "ü\u2028"]}}])
def test_a_line_keeps_its_checksum_and_any_changed_character_is_found(value: dict):
    line = seal_line(json.dumps(value, ensure_ascii=False))
    assert json.loads(open_line(line)) == value
    assert json.loads(line)["sum"]
    inside = range(line.rindex(', "sum"'))
    for place in [*inside, *range(line.rindex(': "') + 3, len(line))]:
        changed = line[:place] + ("x" if line[place] != "x" else "y") + line[place + 1 :]
        with pytest.raises(Damaged, match="its checksum is another"):
            open_line(changed)


def test_a_line_of_an_earlier_version_is_taken_as_it_is():
    assert open_line('{"a": 1}') == '{"a": 1}'
