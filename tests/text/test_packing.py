"""Packing: several texts in a row, which the model reads as if each stood alone."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.models.objects import HFObjects, build_model
from blurr.text.inputs import TEXT
from blurr.text.language_modeling.causal_lm import CausalLM
from blurr.text.language_modeling.masked_lm import MaskedLM
from blurr.text.language_modeling.packing import PACKED, first_position, kept_apart, packed, packs_of
from blurr.text.language_modeling.rows import CausalCollator
from blurr.training.schedules import constant

TEXTS = [
    f"{who} {deed} the {thing}" + " and is happy" * (i % 4)
    for i, (who, deed, thing) in enumerate(
        (w, d, t) for w in ("maria", "tom") for d in ("eating", "baking", "seeing") for t in ("cake", "bread", "fish")
    )
]
BERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIZES = {
    "bert": {**BERT, "max_position_embeddings": 64},
    "roberta": {**BERT, "max_position_embeddings": 66},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    "deberta-v2": {**BERT, "max_position_embeddings": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
}


def scratch(task: CausalLM | MaskedLM, arch: str, **config) -> tuple[RawData, HFObjects]:
    """Make the texts, three quarters of them for training, and a tiny model for them."""
    raw = from_data(task.schema, [{"text": text, "is_valid": i % 4 == 0} for i, text in enumerate(TEXTS)])
    torch.manual_seed(0)
    hf = build_model(
        arch,
        model_cls=task.model_cls,
        config={**task.target.model_config(raw), **config},
        corpus=lambda: TEXTS,
        load_weights=True,
        arch=arch,
        weights="scratch",
        scratch=SIZES[arch],
        scratch_vocab=300,
        inputs=TEXT,
    )
    hf.model.eval()
    return raw, hf


def texts_of(inputs: dict[str, torch.Tensor], targets: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, int]]:
    """Take packed texts out of a batch: ids, targets, and where they begin in the flattened batch."""
    found = []
    for row, (positions, ids) in enumerate(zip(inputs["position_ids"], inputs["input_ids"], strict=True)):
        real = inputs["real"][row]
        begins = [i for i in range(len(ids)) if real[i] and (i == 0 or positions[i] != positions[i - 1] + 1)]
        ends = [*begins[1:], int(real.sum())]
        found += [(ids[a:b], targets[row, a:b], row * len(ids) + a) for a, b in zip(begins, ends, strict=True)]
    return found


def logits_of(model: PreTrainedModel, **inputs: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("task_cls", "arch"),
    [(CausalLM, "gpt2"), (CausalLM, "bert"), (MaskedLM, "bert"), (MaskedLM, "roberta"), (MaskedLM, "distilbert")],
    ids=["causal-gpt2", "causal-bert", "masked-bert", "masked-roberta", "masked-distilbert"],
)
def test_packed_texts_have_the_logits_and_losses_that_they_have_alone(task_cls, arch, attention):
    task = task_cls(block_size=48, packing=True)
    raw, hf = scratch(task, arch, attn_implementation=attention)
    rows = task.encoded(raw.train.to_dict(), hf)
    batch, targets = task.collator(hf, Loader(), train=False)([rows[i] for i in range(len(rows))])
    batch["real"] = torch.tensor(
        [[n < len(rows[i]["input_ids"]) for n in range(targets.shape[1])] for i in range(len(rows))]
    )
    texts = texts_of(batch, targets)
    assert len(texts) == len(raw.train) > len(rows)
    output = hf.model(**{k: v for k, v in batch.items() if k != "real"})
    flat, alone = output.logits.flatten(0, 1), []
    for ids, wanted, start in texts:
        logits = logits_of(hf.model, input_ids=ids[None])[0]
        torch.testing.assert_close(flat[start : start + len(ids)], logits, rtol=1e-4, atol=1e-5)
        alone.append(cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="none")[wanted != IGNORED])
    assert output.loss.item() == pytest.approx(torch.cat(alone).mean().item(), abs=1e-5)


def test_the_first_token_of_a_packed_text_is_no_target_of_the_text_before():
    rows = [{"input_ids": [5, 6, 7, 8, 9], PACKED: [1, 1, 1, 2, 2]}, {"input_ids": [5, 6], PACKED: [1, 1]}]
    inputs, targets = CausalCollator(0)(rows)
    assert targets.tolist() == [[6, 7, IGNORED, 9, IGNORED], [6, *[IGNORED] * 4]]
    assert inputs["labels"][:, 1:].tolist() == targets[:, :-1].tolist()
    assert PACKED not in inputs


@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_begin_anew_with_each_text_on_whichever_side_the_pads_are(side):
    rows = [{"input_ids": [5, 6, 7, 8, 9], PACKED: [1, 1, 1, 2, 2]}, {"input_ids": [5, 6], PACKED: [1, 1]}]
    inputs, _ = CausalCollator(0, padding_side=side)(rows)
    short = [0, 0, 0, 0, 1] if side == "left" else [0, 1, 0, 0, 0]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1], short]


def test_a_token_sees_the_tokens_of_its_own_text_and_a_causal_one_none_that_follow():
    numbers = torch.tensor([[1, 1, 2, 0]])
    given = {"input_ids": numbers, PACKED: numbers}
    both = kept_apart(given, first_position=0, causal=False)["attention_mask"] == 0
    left = kept_apart(given, first_position=0, causal=True)["attention_mask"] == 0
    assert both[0, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert left[0, 0].int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert PACKED in given


def test_packs_hold_every_sequence_once_and_are_nearly_full():
    lengths = [(7 * i) % 40 + 3 for i in range(500)]
    packs = packs_of(lengths, 64)
    filled = [sum(lengths[n] for n in pack) for pack in packs]
    assert sorted(n for pack in packs for n in pack) == list(range(500))
    assert max(filled) <= 64
    assert len(packs) <= -(-sum(lengths) // 64) + 3


def test_packing_nothing_gives_nothing():
    assert packed({"input_ids": []}, 8) == {"input_ids": [], PACKED: []}


@pytest.mark.parametrize(("task_cls", "arch"), [(CausalLM, "gpt2"), (MaskedLM, "bert")], ids=["causal", "masked"])
def test_packing_cuts_a_long_text_and_loses_no_token_of_it(task_cls, arch):
    long = " ".join(TEXTS)
    plain, task = task_cls(block_size=10_000, chunk=False), task_cls(block_size=16, packing=True)
    _, hf = scratch(task, arch)
    hf.tokenizer.model_max_length = 20_000
    whole = plain.encoded({"text": [long, TEXTS[0]]}, hf).columns
    cut = task.encoded({"text": [long, TEXTS[0]]}, hf).columns
    assert max(cut["input_ids"].lengths) <= 16
    frame = set(hf.tokenizer.all_special_ids)
    assert sorted(i for i in cut["input_ids"].flat if i not in frame) == sorted(
        i for i in whole["input_ids"].flat if i not in frame
    )


def test_masks_of_packed_rows_are_the_same_at_each_evaluation():
    task = MaskedLM(block_size=48, packing=True)
    raw, hf = scratch(task, "bert")
    rows = task.encoded(raw.train.to_dict(), hf)
    collate = task.collator(hf, Loader(), train=False)
    first, second = (collate([rows[0], rows[1]])[0]["input_ids"] for _ in range(2))
    assert torch.equal(first, second)
    assert hf.tokenizer.mask_token_id in first


@pytest.mark.parametrize(("task_cls", "arch"), [(CausalLM, "gpt2"), (MaskedLM, "roberta")], ids=["causal", "masked"])
def test_a_learner_trains_on_packed_rows_and_describes_them(task_cls, arch, tmp_path: Path):
    task = task_cls(block_size=48, packing=True)
    raw, hf = scratch(task, arch)
    learner = task.learner(
        task.dataloaders(raw, hf, Loader(batch_size=2, cache=False)), hf, raw=raw, metrics={}, path=tmp_path
    )
    learner.logger = lambda *_: None
    before = learner.validate()[0]
    with learner.no_bar():
        constant(learner, 1e-2, epochs=3)
    result = task.evaluate(learner, raw)
    assert result.metrics["loss"] < before
    assert {"text", "target", "prediction", "loss"} <= set(result.rows[0])
    assert learner.dls.show_batch(show=False, max_n=2)


def test_a_model_that_cannot_keep_packed_texts_apart_is_refused():
    task = MaskedLM(block_size=48, packing=True)
    raw, hf = scratch(task, "deberta-v2")
    with pytest.raises(InputError, match="deberta-v2 cannot keep packed texts apart: .* Set task.packing=false"):
        task.target.loss_func(hf, raw)


def test_positions_of_roberta_begin_after_its_pad_and_those_of_bert_at_zero():
    found = {arch: first_position(scratch(MaskedLM(), arch)[1].model) for arch in ("bert", "roberta")}
    assert found["bert"] == 0
    assert found["roberta"] == scratch(MaskedLM(), "roberta")[1].config.pad_token_id + 1
