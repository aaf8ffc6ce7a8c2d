"""A trained model computes in another precision, or with 8-bit integers, as it is asked to, and says how it agrees."""

import json
import re
from pathlib import Path

import pytest
import torch

from blurr.errors import InputError
from blurr.runs.jsonlines import to_json
from blurr.serve import lowering
from blurr.serve.lowering import load_lowered
from blurr.serve.parity import kept_rows
from blurr.serve.predictor import Predictor, check_precision

CLASSIFIER = "sequence_classification"
TEXTS = ["a fine film", "a dull and very long plot that never ends"]


@pytest.mark.parametrize("task", [CLASSIFIER, "token_classification", "summarization", "question_answering"])
def test_every_kind_of_model_predicts_in_bf16(saved, task: str) -> None:
    predictor = Predictor.load(saved(task)[1], precision="bf16", device="cpu")
    assert {weight.dtype for weight in predictor.hf.model.parameters()} == {torch.bfloat16}
    assert len(predictor.predict(predictor.examples(3))) == 3


def test_answers_stay_what_they_are_unless_another_precision_is_asked_for(saved) -> None:
    folder = saved(CLASSIFIER)[1]
    plain = Predictor.load(folder).predict(TEXTS)
    assert Predictor.load(folder, precision="fp32").predict(TEXTS) == plain
    half = Predictor.load(folder, precision="bf16").predict(TEXTS)
    assert half != plain
    assert [each["score"] for each in half] == pytest.approx([each["score"] for each in plain], abs=0.02)


def test_a_precision_that_the_device_lacks_is_refused(saved) -> None:
    with pytest.raises(InputError, match=r"--precision fp16 needs a GPU, and the device is cpu\. Choose bf16 or fp32"):
        Predictor.load(saved(CLASSIFIER)[1], precision="fp16", device="cpu")


def test_bf16_on_a_gpu_without_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(InputError, match="--precision bf16: the device cuda does not compute in it. Choose fp16"):
        check_precision("bf16", torch.device("cuda"))


@pytest.mark.parametrize(("faster", "found"), [(0, torch.bfloat16), (1e9, torch.float32)], ids=["faster", "slower"])
def test_auto_takes_bf16_where_it_is_faster(saved, monkeypatch: pytest.MonkeyPatch, faster: float, found) -> None:
    monkeypatch.setattr(lowering, "HOPELESS", 0)
    monkeypatch.setattr(lowering, "FASTER", faster)
    predictor, said = load_lowered(saved(CLASSIFIER)[1], precision="auto", device="cpu")
    alike = int(re.search(r"(\d+) answers are alike", said)[1])
    assert predictor.hf.model.dtype == (found if alike == 100 else torch.float32)
    assert re.match(r"(fp32|bf16): bf16 is [\d.]+ times as fast here", said)


def test_auto_stays_where_a_cpu_has_no_bf16(saved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "HOPELESS", 1e9)
    predictor, said = load_lowered(saved(CLASSIFIER)[1], precision="auto", device="cpu")
    assert predictor.hf.model.dtype == torch.float32
    assert re.match(r"fp32: this CPU multiplies matrices [\d.e-]+ times as fast in bf16", said)


@pytest.mark.slow
def test_8_bit_integers_say_how_many_answers_stay(saved, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    folder = saved(CLASSIFIER)[1]
    predictor, said = load_lowered(folder, quantize="int8", device="auto")
    assert re.match(r"int8; against fp32 on 100 generated rows: logits differ by .* answers are alike", said)
    assert [sorted(each) for each in predictor.predict(TEXTS)] == [
        sorted(each) for each in Predictor.load(folder).predict(TEXTS)
    ]
    with pytest.raises(InputError, match="int8 computes on the CPU.*Leave out --precision, and --device"):
        load_lowered(folder, quantize="int8", precision="bf16")
    with pytest.raises(InputError, match="int8 computes on the CPU"):
        load_lowered(folder, quantize="int8", device="cuda")


@pytest.mark.slow
def test_an_export_computes_as_it_was_exported(saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    from blurr.serve.exporting import export

    export(Predictor.load(saved(CLASSIFIER)[1], device="cpu"), tmp_path / "onnx", form="onnx")
    monkeypatch.setattr(lowering, "HOPELESS", 0)
    for precision in ("bf16", "auto"):
        with pytest.raises(InputError, match="is an ONNX export, which computes as it was exported. Leave out"):
            load_lowered(tmp_path / "onnx", precision=precision)
    with pytest.raises(InputError, match="is an export itself, without weights"):
        load_lowered(tmp_path / "onnx", quantize="int8")


def test_the_rows_that_the_run_has_kept_are_compared(saved, tmp_path: Path) -> None:
    predictor = Predictor.load(saved(CLASSIFIER)[1])
    predictor.folder = tmp_path / "model"
    assert kept_rows(predictor, 5) == []
    file = tmp_path / "predictions.jsonl"
    file.write_text("".join(to_json({"text": text, "prediction": "x"}) + "\n" for text in TEXTS * 5))
    assert kept_rows(predictor, 3) == [{"text": text} for text in [*TEXTS, TEXTS[0]]]
    file.write_text(json.dumps({"other": 1}) + "\n")
    assert kept_rows(predictor, 3) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--precision", "bf16"), ("--quantize", "int8")], ids=["bf16", "int8"])
def test_the_command_takes_the_words(saved, blurr, words: tuple[str, str]) -> None:
    folder = str(saved(CLASSIFIER)[1])
    process = blurr("predict", folder, "--text", TEXTS[0], *words)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["label"]
    assert ("int8; against fp32" in process.stderr) == (words[1] == "int8")
