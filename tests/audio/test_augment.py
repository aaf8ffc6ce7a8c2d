"""Training sounds are changed by seed, epoch and row alone, and by no more than the settings allow."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import RATE, make_audio_checkpoint, sound_rows

from blurr.audio.all import AudioClassification, get_audio_objects, sound, spec_augment
from blurr.config import checks, composing
from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.draws import SEEDS, row_seeds
from blurr.loading.loader import Loader

SEEDS_OF_ROWS = torch.from_numpy(row_seeds(7, 0, np.arange(40)))


def wave(seconds: float = 1.0) -> np.ndarray:
    return np.sin(np.arange(round(seconds * RATE)) * 0.3).astype(np.float32)


def still(**options: float) -> object:
    """Return changes of which all but `options` are switched off."""
    return sound(
        **{"crop": False, "max_shift": 0, "max_gain": 0, "least_snr": None, "time_masks": 0, "frequency_masks": 0}
        | options
    )


def test_a_row_is_changed_alike_in_any_batch_and_otherwise_with_another_seed():
    together = sound().waves([wave()] * 40, SEEDS_OF_ROWS, RATE, hide=True)
    alone = sound().waves([wave()], SEEDS_OF_ROWS[5:6], RATE, hide=True)[0]
    assert np.array_equal(together[5], alone)
    assert not np.array_equal(together[5], together[6])
    values = torch.randn(40, 50, 20)
    both = [sound().spectra(values[rows], SEEDS_OF_ROWS[rows], frames_last=False) for rows in (range(40), [5])]
    assert torch.equal(both[0][5], both[1][0])


def test_a_window_is_taken_from_anywhere_in_a_longer_sound():
    original = np.arange(100, dtype=np.float32)
    starts = {each[0] for each in still(crop=True).waves([original] * 40, SEEDS_OF_ROWS, RATE, window=20)}
    assert min(starts) < 15 < 65 < max(starts) <= 80
    short = still(crop=True).waves([original], SEEDS_OF_ROWS[:1], RATE, window=200)[0]
    assert np.array_equal(short, original)


def test_a_sound_is_shifted_made_louder_and_noisier_within_limits():
    original = wave()
    for changed in still(max_shift=0.1).waves([original] * 40, SEEDS_OF_ROWS, RATE):
        shift = np.argmax(np.correlate(changed, original, "full")) - len(original) + 1
        assert abs(shift) <= 0.1 * RATE + 1
        assert len(changed) == len(original)
    gains = [
        20 * np.log10(abs(each).max() / abs(original).max())
        for each in still(max_gain=6).waves([original] * 40, SEEDS_OF_ROWS, RATE)
    ]
    assert -6.01 <= min(gains) < -4 < 4 < max(gains) <= 6.01
    noise = [each - original for each in still(least_snr=10).waves([original] * 40, SEEDS_OF_ROWS, RATE)]
    ratios = [20 * np.log10(np.std(original) / np.std(each)) for each in noise if abs(each).max() > 0]
    assert 10 <= len(ratios) <= 30
    assert min(ratios) > 9.5


@pytest.mark.parametrize("frames_last", [False, True])
def test_stretches_of_spectra_are_hidden(frames_last: bool):
    values = torch.rand(40, 100, 50)
    given = values.transpose(1, 2) if frames_last else values
    made = spec_augment(time_masks=2, frequency_masks=1, max_time=0.2).spectra(
        given, SEEDS_OF_ROWS, frames_last=frames_last
    )
    changed = ((made.transpose(1, 2) if frames_last else made) != values).float()
    hidden_frames, hidden_bands = ((changed.mean(axis) > 0.99).sum(1) for axis in (2, 1))
    assert 0 < hidden_frames.max() <= 40
    assert 0 < hidden_bands.max() <= 10
    assert changed.mean() < 0.5


@pytest.mark.parametrize("arch", ["wav2vec2", "whisper"])
def test_training_batches_are_changed_and_others_are_not(arch: str, tmp_path: Path):
    task = AudioClassification()
    raw = task.prepare(from_data(task.row_schema(), sound_rows(24)))
    hf = get_audio_objects(make_audio_checkpoint(tmp_path, arch), config_kwargs=task.target.model_config(raw))
    loader = Loader(batch_size=8, num_workers=0)
    plain, changed, again = (task.dataloaders(raw, hf, loader, augment=each) for each in (None, sound(), sound()))
    main = plain.train_ds.names.main
    one, other, same = ([batch[0] for batch in dls.train] for dls in (plain, changed, again))
    assert all(SEEDS in batch for batch in other)
    assert not torch.equal(one[0][main], other[0][main])
    assert all(torch.equal(a[main], b[main]) for a, b in zip(other, same, strict=True))
    second = next(iter(changed.train))[0]
    assert not torch.equal(second[main], other[0][main])
    assert all(torch.equal(a[0][main], b[0][main]) for a, b in zip(plain.valid, changed.valid, strict=True))


def test_an_augmentation_of_pictures_is_refused():
    with pytest.raises(InputError, match=r"augment=light is for the modality vision.*These fit: sound, spec_augment\."):
        checks.check(composing.compose(["task=audio_classification", "augment=light"]))
