"""Speech is written down, by CTC and by a decoder: labels, losses, long sounds, times, and all that learners do."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from oracles import edit_distance, error_rate
from scratch import from_scratch
from torch.nn import functional
from transformers import AutoConfig, AutoProcessor, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model
from transformers.models.whisper.modeling_whisper import shift_tokens_right

from blurr.audio.all import BlearnerForSpeechRecognition, SpeechRecognition
from blurr.audio.learnable import within
from blurr.audio.normalizers import normalizer_of
from blurr.audio.processors import SPEECH
from blurr.audio.speech_recognition import as_spelt, shared_out
from blurr.audio.spoken import RATE, SOUNDS, WORDS, speech
from blurr.audio.transcripts import Transcripts
from blurr.audio.vocabularies import letters_of, pieces_of
from blurr.audio.whisper import Timed, WhisperSettings, check_settings, labels_of, segments_in
from blurr.audio.windows import Window, parts_of, quiet_cuts, windows_of
from blurr.config import composing
from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.models.ctc import CTCLoss, best_paths, blank_of, needed_frames
from blurr.models.losses import loss_per_row
from blurr.models.objects import HFObjects
from blurr.plan import plan
from blurr.serve.graphs import _parts
from blurr.tasks.notebook import load_learner

pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")

CTC: dict[str, Any] = {
    **{"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32},
    **{"conv_depthwise_kernel_size": 3, "layerdrop": 0.0, "apply_spec_augment": False, "final_dropout": 0.0},
}
WHISPER: dict[str, Any] = {
    **{"num_mel_bins": 20, "chunk_length": 2, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
    **{"max_target_positions": 64},
}
WAV2VEC2: dict[str, Any] = {
    **{"conv_dim": [8, 8], "conv_stride": [20, 16], "conv_kernel": [20, 16], "num_feat_extract_layers": 2},
    **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
    **{"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0},
}
PARAKEET: dict[str, Any] = {
    "encoder_config": {
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        **{"conv_kernel_size": 3, "subsampling_factor": 4, "subsampling_conv_channels": 8, "num_mel_bins": 80},
    }
}
SIZES = {"wav2vec2-bert": CTC, "whisper": WHISPER, "parakeet_ctc": PARAKEET}
SIZES |= dict.fromkeys(("wav2vec2", "hubert", "wavlm", "data2vec-audio"), WAV2VEC2)
SHORT = {"max_new_tokens": 12}


def spoken_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [{**speech(rng), "is_valid": i >= 0.75 * count} for i in range(count)]


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def objects(task: SpeechRecognition, raw: Any, arch: str) -> HFObjects:
    torch.manual_seed(0)
    return from_scratch(task, raw, arch, SIZES[arch], scratch_vocab=300)


def saved(folder: Path, arch: str) -> Path:
    task = SpeechRecognition()
    hf = objects(task, from_data(task.row_schema(), spoken_rows(40)), arch)
    hf.model.save_pretrained(folder)
    hf.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("ctc"), "wav2vec2-bert")


@pytest.fixture(scope="module")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("whisper"), "whisper")


def learner_of(checkpoint: Path, rows: list[dict[str, Any]] | None = None, **options: Any) -> Any:
    frame = pd.DataFrame(rows or spoken_rows(24))
    options = {"dl_kwargs": {"bs": 8}, "text_gen_kwargs": SHORT, **options}
    learn = BlearnerForSpeechRecognition.from_data(frame, checkpoint, **options)
    learn.logger = lambda *_: None
    return learn


# -- the sample


def test_each_letter_of_the_sample_has_a_sound_and_the_same_seed_says_the_same():
    assert set("".join(WORDS)) <= set(SOUNDS)
    one, other = speech(random.Random(3)), speech(random.Random(3))
    assert one["text"] == other["text"]
    assert np.array_equal(one["audio"][0], other["audio"][0])
    assert np.abs(one["audio"][0]).max() <= 1
    assert one["audio"][0].dtype == np.float32


# -- CTC


def test_the_ctc_loss_of_a_row_is_torchs_and_its_mean_is_by_rows():
    logits, targets = torch.randn(3, 9, 5), torch.tensor([[1, 2, 2], [3, -100, -100], [4, 1, -100]])
    loss = CTCLoss(0)
    loss.frames = torch.tensor([9, 5, 7])
    rows = loss_per_row(loss, logits, targets)
    for row, (frames, n) in enumerate(((9, 3), (5, 1), (7, 2))):
        scores = logits[row, :frames].log_softmax(-1)[:, None]
        alone = functional.ctc_loss(scores, targets[row : row + 1, :n], torch.tensor([frames]), torch.tensor([n]))
        assert rows[row] == pytest.approx(float(alone), rel=1e-5)
    assert loss(logits, targets) == pytest.approx(float(rows.mean()))
    loss.frames = torch.tensor([3, 5, 7])  # three tokens, of which two are equal, need four frames
    assert loss_per_row(loss, logits, targets)[0] == 0
    assert torch.isfinite(loss(logits, targets))
    assert loss.decodes(logits).shape == (3, 9)
    torch.testing.assert_close(loss.activation(logits).sum(-1), torch.ones(3, 9))


def test_the_best_path_merges_repeats_and_leaves_out_blanks_and_padding():
    says = torch.tensor([[1, 1, 0, 1, 2, 2], [0, 3, 3, 0, 4, 4]])
    logits = functional.one_hot(says, 5).float()
    assert best_paths(logits, torch.tensor([6, 4]), 0) == [[1, 1, 2], [3]]
    assert needed_frames(torch.tensor([[1, 1, 2], [3, -100, -100]])).tolist() == [4, 1]


def test_a_vocabulary_has_the_characters_of_the_training_texts(work: Path):
    tokenizer = letters_of(["ab ba", "äb!"])
    assert tokenizer.get_vocab() == {"<pad>": 0, "<unk>": 1, "|": 2, "!": 3, "a": 4, "b": 5, "ä": 6}
    tokenizer.save_pretrained(work)
    assert json.loads((work / "vocab.json").read_text())["|"] == 2
    with pytest.raises(InputError, match=r"A text of the training rows holds '\|'"):
        letters_of(["a|b"])
    with pytest.raises(InputError, match="are all empty"):
        letters_of([" ", ""])


def test_texts_are_spelt_as_a_vocabulary_of_one_case_has_them():
    assert as_spelt(["He  said\n so"], letters_of(["ABC"])) == ["HE SAID SO"]
    assert as_spelt(["He said"], letters_of(["abc"])) == ["he said"]
    assert as_spelt(["He said"], letters_of(["aBc"])) == ["He said"]


def test_rows_without_room_for_their_text_are_left_out_and_counted(ctc: Path, caplog):
    rows = spoken_rows(24)
    rows[2]["text"] = rows[2]["text"] * 30
    learn = learner_of(ctc, rows)
    assert "1 of 18 training rows have more characters than wav2vec2-bert makes frames" in caplog.text
    assert (len(learn.dls.train_ds), len(learn.dls.valid_ds)) == (17, 6)
    with pytest.raises(InputError, match=r"20 of 20 training rows .* Look whether sounds and texts belong together"):
        learner_of(ctc, [{**row, "text": "ab" * 200, "is_valid": i > 19} for i, row in enumerate(spoken_rows(24))])


def test_training_rows_outside_the_seconds_are_left_out_and_no_others(caplog):
    rows = [
        {"audio": (noise(s, i), RATE), "text": "a", "is_valid": i > 3} for i, s in enumerate((0.3, 1, 2, 3, 4, 0.2))
    ]
    raw = SpeechRecognition(min_seconds=0.5, max_seconds=2.5).prepare(from_data(SpeechRecognition().row_schema(), rows))
    assert (len(raw.train), len(raw.valid)) == (2, 2)
    assert "2 of 4 training rows are left out: task.min_seconds=0.5 and task.max_seconds=2.5" in caplog.text
    with pytest.raises(InputError, match=r"No training row is left: their sounds last 1\.0 to 2\.0 s, and because"):
        within(raw, 5, None, "because")


def test_a_checkpoint_without_a_vocabulary_learns_one(work: Path):
    Wav2Vec2Model(Wav2Vec2Config(**WAV2VEC2)).save_pretrained(work)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(work)
    with pytest.raises(InputError, match="has no vocabulary to write with"):
        SPEECH.load(str(work))
    learn = learner_of(work)
    model = learn.model.hf_model
    assert model.lm_head.out_features == len(learn.dls.tokenizer.tokenizer) == model.config.vocab_size
    assert (model.config.ctc_loss_reduction, model.config.ctc_zero_infinity) == ("mean", True)
    learn.unfreeze()
    with learn.no_bar():
        learn.fit(steps=1)
    convolutions = model.wav2vec2.feature_extractor.parameters()
    assert not any(parameter.requires_grad for parameter in convolutions)
    assert model.wav2vec2.encoder.layers[0].attention.k_proj.weight.requires_grad


# -- Whisper


def test_labels_of_whisper_leave_the_first_token_to_the_models_shift(whisper: Path):
    learn = learner_of(whisper)
    tokenizer, model = learn.dls.tokenizer.tokenizer, learn.model.hf_model
    start, end = (tokenizer.convert_tokens_to_ids(name) for name in ("<|startoftranscript|>", "<|endoftext|>"))
    silent = tokenizer.convert_tokens_to_ids("<|notimestamps|>")
    (ids,) = labels_of(model, tokenizer, WhisperSettings(None, False, False), ["red cat"], [1.0])
    assert (ids[0], ids[-1], start in ids) == (silent, end, False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "red cat"
    config = model.config
    shifted = shift_tokens_right(torch.tensor([ids]), config.pad_token_id, config.decoder_start_token_id)
    assert shifted[0, :2].tolist() == [start, silent]
    (timed,) = labels_of(model, tokenizer, WhisperSettings(None, False, True), ["red cat"], [1.0])
    assert (timed[0], timed[-2]) == (silent + 1, silent + 1 + 50)
    assert Timed(tokenizer).batch_decode(torch.tensor([timed]), skip_special_tokens=True) == ["<|0.00|>red cat<|1.00|>"]


def test_a_text_with_timestamps_has_segments():
    text = "<|0.00|> one<|0.84|><|1.20|> two<|1.90|>"
    assert segments_in(text, 2.0) == [(0.0, 0.84, "one"), (1.2, 1.9, "two")]
    assert segments_in("no times", 2.0) == [(0.0, 2.0, "no times")]
    assert segments_in("<|0.50|> open", 2.0) == [(0.5, 2.0, "open")]


def test_settings_of_whisper_are_refused_where_they_mean_nothing(whisper: Path, ctc: Path):
    written, framed = learner_of(whisper), learner_of(ctc)
    model, tokenizer = written.model.hf_model, written.dls.tokenizer.tokenizer
    with pytest.raises(InputError, match=r"task\.language=germn is not a language of Whisper\. Did you mean 'german'"):
        check_settings(model, tokenizer, WhisperSettings("germn", False, False))
    with pytest.raises(InputError, match=r"task\.language: this checkpoint of Whisper knows English alone"):
        check_settings(model, tokenizer, WhisperSettings("de", False, False))
    model.generation_config.is_multilingual = True
    with pytest.raises(InputError, match=r"writes in many languages.* task\.language=en"):
        written.origin.task.dataloaders(written.origin.raw, written.origin.hf, Loader())
    with pytest.raises(InputError, match=r"task\.translate=true needs the language that is spoken"):
        check_settings(model, tokenizer, WhisperSettings(None, True, False))
    with pytest.raises(InputError, match=r"task\.timestamps is a setting of Whisper, and this model is"):
        check_settings(framed.model.hf_model, framed.dls.tokenizer.tokenizer, WhisperSettings(None, False, True))
    with pytest.raises(InputError, match=r"Wav2Vec2BertForCTC writes by CTC and has no settings of generation"):
        framed.predict([(noise(0.5), RATE)], num_beams=2)
    with pytest.raises(InputError, match=r"task\.loss and task\.label_smoothing are settings of models with a decoder"):
        raw, hf = framed.origin.raw, framed.origin.hf
        Transcripts(label_smoothing=0.1).loss_func(hf, raw)


def test_graphs_are_made_of_models_that_write_by_ctc_alone(whisper: Path):
    with pytest.raises(
        InputError, match=r"WhisperForConditionalGeneration has a decoder that writes of input_features"
    ):
        _parts(learner_of(whisper).model.hf_model, {})


def test_another_decoder_has_pieces_of_words():
    tokenizer = pieces_of("moonshine", ["red cat", "red dog"] * 3, 270)
    ids = tokenizer("red cat")["input_ids"]
    assert tokenizer.decode(ids) == "red cat"
    assert {tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token} == {"<pad>", "<s>", "</s>"}


# -- scores


@pytest.mark.parametrize(
    ("name", "language", "expected"),
    [
        ("none", None, "I'm (well) Mister Ten, colour!"),
        ("basic", None, "i m mister ten colour"),
        ("whisper", None, "i am mister 10 colour"),
        ("whisper", "de", "i m mister ten colour"),
    ],
)
def test_a_normalizer_says_what_counts_as_the_same(name: Any, language: str | None, expected: str):
    assert normalizer_of(name, language, None)("I'm (well) Mister Ten, colour!") == expected


@pytest.mark.parametrize("kind", ["ctc", "whisper"])
def test_a_learner_learns_scores_predicts_exports_and_shows(kind: str, request, work: Path):
    learn = learner_of(request.getfixturevalue(kind))
    task, raw = learn.origin.task, learn.origin.raw
    before = learn.validate(0)[0]
    learn.unfreeze()
    with learn.no_bar():
        learn.fit(2, 3e-3)
    assert learn.validate(0)[0] < before
    found = task.evaluate(learn, raw)
    assert found.notes == dict.fromkeys(("wer", "cer"), "after the normalizer basic")
    sides = [([a for a, _ in row["alignment"] if a], [b for _, b in row["alignment"] if b]) for row in found.rows]
    assert found.metrics["wer"] == pytest.approx(error_rate(sides))
    for row, (true, predicted) in zip(found.rows, sides, strict=True):
        assert sum(a != b for a, b in row["alignment"]) == edit_distance(true, predicted)
    weights = [row["target_count"] for row in found.rows]
    assert found.metrics["loss"] == pytest.approx(np.average([row["loss"] for row in found.rows], weights=weights))
    assert found.intervals["wer"][0] <= found.metrics["wer"] <= found.intervals["wer"][1]
    items = [row["audio"] for row in spoken_rows(5, seed=1)]
    results = learn.predict(items)
    assert [{*result} for result in results] == [{"transcript", "segments"}] * 5
    assert [learn.predict([item])[0] for item in items] == results
    assert learn.blurr_transcribe(items[0]) == results[:1]
    learn.export(work / "export.pkl")
    assert load_learner(work / "export.pkl").predict(items) == results
    (shown,) = learn.dls.show_batch(max_n=1, show=False)
    assert shown["target"] in [row["text"] for row in raw.train.to_list()]
    assert {"audio", "target", "prediction"} == {*learn.show_results(max_n=1, show=False)[0]}


@pytest.mark.parametrize("arch", ["data2vec-audio", "hubert", "parakeet_ctc", "wav2vec2", "wavlm"])
def test_other_architectures_learn_and_answer_alike_alone_and_in_a_batch(arch: str):
    task = SpeechRecognition()
    raw = from_data(task.row_schema(), spoken_rows(16))
    hf = objects(task, raw, arch)
    learn = task.learner(task.dataloaders(raw, hf, Loader(batch_size=6)), hf, raw=raw, metrics={})
    learn.logger = lambda *_: None
    before = learn.validate(0)[0]
    with learn.no_bar():
        learn.fit(2, 1e-2)
    assert learn.validate(0)[0] < before
    items = [row["audio"] for row in spoken_rows(4, seed=1)]
    assert [learn.predict([item])[0] for item in items] == learn.predict(items)


def test_whisper_writes_when_each_part_is_said(whisper: Path):
    learn = learner_of(whisper, timestamps=True)
    assert learn.model.hf_model.generation_config.return_timestamps is True
    found = learn.origin.task.evaluate(learn, learn.origin.raw)
    assert all(row["segments"] == [] or row["segments"][0]["start"] >= 0 for row in found.rows)
    seconds = 1.5
    (result,) = learn.predict([(noise(seconds), RATE)])
    assert all(0 <= each["start"] <= each["end"] <= seconds for each in result["segments"])


# -- long sounds


def test_long_sounds_are_cut_where_it_is_quiet():
    wave = np.ones(1000, np.float32)
    wave[370:390] = 0
    assert quiet_cuts(wave, 400, 20)[:2] == [0, 380]
    cuts = quiet_cuts(noise(3.0), RATE, 1600)
    assert (cuts[0], cuts[-1]) == (0, 3 * RATE)
    assert all(0 < b - a <= RATE for a, b in zip(cuts, cuts[1:], strict=False))
    raw = from_data(
        SpeechRecognition().row_schema(), [{"audio": (noise(s, int(s)), RATE), "text": "a"} for s in (3, 1, 2)]
    )
    cells = [row["audio"] for name in ("train", "valid") for row in raw.splits[name].to_list()]
    windows = windows_of(cells, 1.0, RATE)
    parts = parts_of(cells, windows, RATE)
    lengths = [len(parts[i]) for i in range(len(parts))]
    assert lengths == parts.lengths.tolist()
    assert sum(lengths) == 6 * RATE
    assert [window.row for window in windows] == sorted(window.row for window in windows)


def test_the_words_of_a_long_sound_are_shared_out_by_time():
    windows = [Window(0, 0.0, 1.0), Window(0, 1.0, 4.0), Window(1, 0.0, 2.0)]
    assert shared_out(["a b c d", "e  f"], windows) == ["a", "b c d", "e  f"]


@pytest.mark.parametrize("kind", ["ctc", "whisper"])
def test_a_long_sound_is_one_row_with_the_times_of_its_windows(kind: str, request, monkeypatch):
    rows = spoken_rows(12)
    waves = [row["audio"][0] for row in spoken_rows(8, seed=4)]
    long = np.concatenate(waves)
    rows[-1] |= {"audio": (long, RATE), "text": " ".join(row["text"] for row in spoken_rows(8, seed=4))}
    learn = learner_of(request.getfixturevalue(kind), rows)
    task = learn.origin.task
    if kind == "ctc":
        task.window_seconds = 2.0
        dls = task.dataloaders(learn.origin.raw, learn.origin.hf, Loader(batch_size=4))
        learn.dls.loaders = dls.loaders
    found = task.evaluate(learn, learn.origin.raw)
    assert len(found.rows) == len(learn.origin.raw.valid) < len(learn.dls.valid_ds)
    if kind == "ctc":  # Whisper reads windows of one length
        assert found.rows[-1]["length_seconds"] == pytest.approx(len(long) / RATE, abs=0.01)
    sides = [([a for a, _ in row["alignment"] if a], [b for _, b in row["alignment"] if b]) for row in found.rows]
    assert found.metrics["wer"] == pytest.approx(error_rate(sides))
    assert len(sides[-1][0]) == len(rows[-1]["text"].split())
    (result,) = learn.predict([(long, RATE)])
    times = [(each["start"], each["end"]) for each in result["segments"]]
    assert all(0 <= start < end <= len(long) / RATE + 0.01 for start, end in times)
    assert result["transcript"] == " ".join(each["text"] for each in result["segments"])


def test_a_saved_processor_is_read_as_it_was(ctc: Path):
    again = AutoProcessor.from_pretrained(ctc)
    assert again.tokenizer("red cat")["input_ids"] == letters_of(WORDS)("red cat")["input_ids"]


def test_the_token_of_silence_is_the_one_that_a_config_names():
    assert blank_of(Wav2Vec2Config(pad_token_id=3)) == 3
    assert blank_of(AutoConfig.for_model("omniasr_ctc", pad_token_id=1, blank_token_id=5)) == 5


def test_a_plan_tells_the_lengths_of_the_texts():
    cfg = composing.compose(["task=speech_recognition", "data.rows=40", "model.weights=scratch", "loader.cache=false"])
    lengths = dict(plan(cfg)["tokens"])
    assert lengths["train labels"].endswith("no limit")
