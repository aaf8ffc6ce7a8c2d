"""Sounds are classified: what a model reads is what its extractor makes, and a learner does all that others do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from scratch import check_groups
from sounds import RATE, make_audio_checkpoint, sound_rows

from blurr.audio.all import AudioClassification, BlearnerForAudioClassification, SoundCollator, get_audio_objects
from blurr.audio.extractors import extracted, fit_extractor, names_of, new_extractor, window_of
from blurr.audio.samples import KINDS, tones
from blurr.audio.waves import LEAST_SECONDS, Waves
from blurr.config import composing, paths
from blurr.data.at_hand import from_data
from blurr.data.samples import different_rows
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import EncodedRows, InputNames
from blurr.tasks.notebook import load_learner
from blurr.tasks.parts import build_hf

EXTRACTORS = {
    "waves": transformers.Wav2Vec2FeatureExtractor(return_attention_mask=True),
    "waves without a mask": transformers.Wav2Vec2FeatureExtractor(),
    "window": transformers.WhisperFeatureExtractor(chunk_length=2),
    "frames": transformers.ASTFeatureExtractor(max_length=128, num_mel_bins=40),
    "spectra": transformers.SeamlessM4TFeatureExtractor(),
}
NAMES = {
    "waves": InputNames("input_values", "attention_mask", "samples"),
    "waves without a mask": InputNames("input_values", "", "samples"),
    "window": InputNames("input_features"),
    "frames": InputNames("input_values"),
    "spectra": InputNames("input_features", "attention_mask", "samples"),
}
FAMILIES = ("ast", "hubert", "wav2vec2", "wavlm", "whisper")


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_audio_checkpoint(tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_audio_checkpoint(tmp_path_factory.mktemp("whisper"), "whisper")


@pytest.fixture
def learner(wav2vec2: Path) -> BlearnerForAudioClassification:
    rows = pd.DataFrame(sound_rows(40)).assign(is_valid=[i >= 30 for i in range(40)])
    learn = BlearnerForAudioClassification.from_data(rows, wav2vec2, dl_kwargs={"bs": 8})
    learn.logger = lambda *_: None
    return learn


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_model_reads_what_the_extractor_of_its_checkpoint_makes(name: str):
    extractor, waves = EXTRACTORS[name], [noise(1.0), noise(0.6, seed=1)]
    options = {} if name in ("window", "frames") else {"padding": True}
    expected = extractor(waves, sampling_rate=16_000, return_tensors="pt", **options)
    inputs, targets = SoundCollator(extractor)([{"wave": wave, "labels": i} for i, wave in enumerate(waves)])
    assert {*inputs} == {*expected, "labels"}
    for key, values in expected.items():
        torch.testing.assert_close(inputs[key], values)
    assert targets.tolist() == [0, 1]
    assert names_of(extractor) == NAMES[name]


def test_an_extractor_from_scratch_has_the_sizes_of_its_model():
    whisper = new_extractor("whisper")
    assert fit_extractor(whisper, {"chunk_length": 2, "num_mel_bins": 40}) == {"max_source_positions": 100}
    assert extracted(whisper, [noise(1.0)])["input_features"].shape == (1, 40, 200)
    ast = new_extractor("audio-spectrogram-transformer")
    assert fit_extractor(ast, {"max_length": 64, "num_mel_bins": 32}) == {}
    assert extracted(ast, [noise(1.0)])["input_values"].shape == (1, 64, 32)
    assert (window_of(whisper), window_of(ast), window_of(new_extractor("wavlm"))) == (2.0, 0.64, None)
    with pytest.raises(InputError, match=r"model\.arch=bert reads no sounds\. Choose a model such as whisper"):
        new_extractor("bert")


def test_waves_are_cut_lengthened_and_kept(work: Path, monkeypatch):
    monkeypatch.setenv("BLURR_CACHE", str(work / "cache"))
    rows = [{"audio": (noise(seconds, seed=i), 16_000), "label": "ab"[i % 2]} for i, seconds in enumerate((0.1, 1, 3))]
    raw = from_data(AudioClassification().row_schema(), [*rows, *sound_rows(3)])
    files = raw.splits["train"].select_columns(["audio"])["audio"]
    waves = Waves(files, RATE, most=2 * RATE)
    lengths = [len(waves[i]) for i in range(len(waves))]
    assert lengths == waves.lengths.tolist()
    assert min(lengths) >= LEAST_SECONDS * RATE
    assert max(lengths) <= 2 * RATE
    kept = waves.keeping()
    first = [kept[i].copy() for i in range(len(kept))]
    assert (kept.kept.missing, kept.seconds_to_make) == (0, 0.0)
    again = waves.keeping()
    assert again.kept.missing == 0
    again.kept.values[lengths[0] + 5] += 1
    assert all(np.array_equal(again[i], first[i]) for i in range(len(first)))
    taken = again.take([2, 0])
    assert [len(taken[i]) for i in range(2)] == taken.lengths.tolist() == [lengths[2], lengths[0]]
    assert again.gigabytes == pytest.approx(4e-9 * sum(lengths))


@pytest.mark.filterwarnings("ignore:load_learner:UserWarning")
def test_a_learner_learns_predicts_and_shows(learner, work: Path):
    before = learner.validate(0)[0]
    learner.unfreeze()
    with learner.no_bar():
        learner.fit(4, 3e-3)
    assert learner.validate(0)[0] < before
    items = [row["audio"] for row in sound_rows(6, seed=1)]
    results = learner.predict(items)
    assert [result["class_labels"] for result in results] == [["rising", "steady"]] * 6
    alone = learner.predict(items[3])[0]
    assert alone["probs"] == pytest.approx(results[3]["probs"], abs=1e-5)
    shown = learner.show_results(show=False, max_n=3)
    assert [set(row) for row in shown] == [{"audio", "target", "prediction"}] * 3
    assert "<audio" in shown[0]["audio"].html
    assert len(learner.top_losses(2)) == 2
    learner.export("learner.pkl")
    assert load_learner("learner.pkl").predict(items) == results


def test_predictions_are_those_of_transformers_pipeline(learner, work: Path):
    learner.model.hf_model.save_pretrained("model")
    learner.dls.tokenizer.save_pretrained("model")
    pipe = transformers.pipeline("audio-classification", model="model", device="cpu")
    items = [row["audio"] for row in sound_rows(4, seed=2)]
    for item, ours in zip(items, learner.predict(items), strict=True):
        found = {each["label"]: each["score"] for each in pipe({"raw": item[0], "sampling_rate": item[1]})}
        assert [found[label] for label in ours["class_labels"]] == pytest.approx(ours["probs"], abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "kind", "field"),
    [([["a", "b"], ["b"]] * 10, "multi_label_classification", "labels"), ([0.25, 1.5] * 10, "regression", "value")],
)
def test_several_labels_and_numbers_are_learned_too(labels, kind: str, field: str, whisper: Path):
    rows = [{**row, "label": label} for row, label in zip(sound_rows(20), labels, strict=True)]
    learn = BlearnerForAudioClassification.from_data(rows, whisper, dl_kwargs={"bs": 8})
    assert learn.model.hf_model.config.problem_type == kind
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert field in learn.predict(rows[0]["audio"])[0]


def test_sounds_of_similar_length_make_a_batch(wav2vec2: Path):
    task = AudioClassification()
    raw = task.prepare(from_data(task.row_schema(), sound_rows(60)))
    hf = get_audio_objects(wav2vec2, config_kwargs=task.target.model_config(raw))
    dls = task.dataloaders(raw, hf, Loader(batch_size=8))
    real = padded = 0
    for inputs, _ in dls.train:
        real, padded = real + int(inputs["attention_mask"].sum()), padded + inputs["attention_mask"].numel()
    assert 1 - real / padded < 0.1
    assert real == dls.train_ds.lengths.sum()


def test_seconds_make_a_batch_and_a_limit_of_another_unit_is_refused(wav2vec2: Path, whisper: Path):
    task = AudioClassification()
    raw = task.prepare(from_data(task.row_schema(), sound_rows(40)))
    hf = get_audio_objects(wav2vec2, config_kwargs=task.target.model_config(raw))
    for inputs, _ in task.dataloaders(raw, hf, Loader(max_seconds=5)).train:
        assert inputs["input_values"].numel() <= 5 * RATE
    with pytest.raises(InputError, match=r"loader\.max_tokens counts tokens, of which these rows have none"):
        task.dataloaders(raw, hf, Loader(max_tokens=100))
    windows = get_audio_objects(whisper, config_kwargs=task.target.model_config(raw))
    with pytest.raises(InputError, match=r"max_seconds counts seconds of sound, and the model reads windows of one"):
        task.dataloaders(raw, windows, Loader(max_seconds=5))
    with pytest.raises(InputError, match=r"max_seconds counts seconds of sound, and these rows are no sounds"):
        Loader(max_seconds=5).most(EncodedRows({"labels": [1]}))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_built_from_its_yaml_and_cut_into_groups(family: str):
    task = AudioClassification()
    raw = task.prepare(from_data(task.row_schema(), sound_rows(8)))
    cfg = composing.compose(["task=audio_classification", f"model={family}", "model.weights=scratch"])
    hf = build_hf(cfg, task, raw)
    check_groups(hf)
    rows = task.encoded({"audio": raw.train["audio"]}, hf)
    inputs, _ = task.collator(hf, Loader(), train=False)([rows[0], rows[1]])
    known = {name: values for name, values in inputs.items() if name != "number"}
    assert hf.model.eval()(**known).logits.shape == (2, 2)


def test_every_family_of_sounds_is_tried():
    with_window = [name for name, file in paths.options("model").items() if "sampling_rate" in file.read_text("utf-8")]
    assert {*with_window} <= {*FAMILIES}


def test_tones_are_of_every_kind_and_seeded():
    rows = different_rows(tones, 40, seed=1, label="label")
    assert {row["label"] for row in rows} == {*KINDS}
    wave, rate = rows[0]["audio"]
    assert (rate, wave.dtype, abs(wave).max() <= 1) == (RATE, np.float32, True)
