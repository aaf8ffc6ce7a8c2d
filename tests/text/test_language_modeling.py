"""Causal and masked language modelling: chunks, masks, losses over real tokens, generation and fill-mask."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from every_task import loaded
from fastai.learner import load_learner
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from blurr.config import checks
from blurr.config.building import build
from blurr.config.composing import compose
from blurr.data.at_hand import from_data
from blurr.data.core import RawData
from blurr.data.samples import load_samples
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.loading.rows import IGNORED
from blurr.models.objects import HFObjects, build_model
from blurr.text.inputs import TEXT, TextRows
from blurr.text.language_modeling.causal_lm import CausalLM
from blurr.text.language_modeling.chunking import (
    Frame,
    cut,
    joined,
    plain_tokens,
    room_for,
    separator_ids,
    special_ids,
    word_numbers,
)
from blurr.text.language_modeling.masked_lm import MaskedLM
from blurr.text.language_modeling.masking import OBJECTIVES, Masking, MaskingCollator, choose, spans, whole_words
from blurr.text.language_modeling.metrics import Perplexity, TokenAccuracy, TokenScores, score_tokens
from blurr.text.language_modeling.rows import CausalCollator, bracketed
from blurr.text.language_modeling.samples import TRADES
from blurr.text.modeling.all import BlearnerForLM, BlearnerForMaskedLM
from blurr.text.scratch import train_tokenizer
from blurr.training.learner import Blearner

# load_learner unpickles, and says so: the file is our own.
pytestmark = pytest.mark.filterwarnings("ignore:load_learner. uses Python's insecure pickle")

STORIES = [
    f"{who} {deed} the {thing}" + " and is happy" * (i % 3)
    for i, (who, deed, thing) in enumerate(
        (w, d, t) for w in ("maria", "tom") for d in ("eating", "baking", "seeing") for t in ("cake", "bread", "fish")
    )
]
ROWS = [{"text": text, "is_valid": i % 4 == 0} for i, text in enumerate(STORIES)]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture
def word_tokenizer() -> PreTrainedTokenizerFast:
    """One id per word, `<s> a </s>`."""
    vocab = {w: i for i, w in enumerate(["<pad>", "<s>", "</s>", "<unk>", "good", "bad", "is", "a", "."])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=32, **names)


@pytest.fixture(scope="module")
def tiny_mlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT that cuts most words into pieces."""
    folder = tmp_path_factory.mktemp("tiny-mlm")
    torch.manual_seed(0)
    tokenizer = train_tokenizer("bert", STORIES, vocab_size=45)
    tokenizer.model_max_length = 64
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, pad_token_id=0, **SIZES)
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 whose pad token is its eos token."""
    folder = tmp_path_factory.mktemp("tiny-gpt2")
    torch.manual_seed(0)
    tokenizer = train_tokenizer("gpt2", STORIES, vocab_size=300)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.model_max_length = 64
    eos = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, eos_token_id=eos, bos_token_id=eos
    )
    config.loss_type = "ForCausalLM"
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def built(task: CausalLM | MaskedLM, folder: Path, rows: list[dict] | None = None) -> tuple[RawData, HFObjects]:
    raw = from_data(task.schema, ROWS if rows is None else rows)
    hf = loaded(task, raw, folder)
    return raw, hf


def learner_of(task: CausalLM | MaskedLM, folder: Path, **loader) -> tuple[Blearner, RawData]:
    raw, hf = built(task, folder)
    dls = task.dataloaders(raw, hf, Loader(**{"batch_size": 4, **loader}))
    metrics = {"perplexity": Perplexity(), "token_accuracy": TokenAccuracy()}
    return quiet(task.learner(dls, hf, raw=raw, metrics=metrics)), raw


def quiet(learner: Blearner) -> Blearner:
    learner.remove_cbs([learner.progress])
    learner.logger = lambda *_: None
    return learner


@pytest.fixture
def causal(tiny_gpt2: Path, tmp_path: Path) -> Blearner:
    return quiet(
        BlearnerForLM.from_data(
            ROWS, tiny_gpt2, block_size=16, dl_kwargs={"bs": 4}, learner_kwargs={"path": tmp_path, "freeze": False}
        )
    )


def test_a_frozen_model_whose_head_is_its_embedding_says_what_it_trains(causal: Blearner, caplog):
    with caplog.at_level("INFO", logger="blurr"):
        causal.freeze()
    assert "Frozen: the head has no weights of its own" in caplog.text
    assert "transformer.ln_f.weight" in caplog.text


@pytest.fixture
def masked(tiny_mlm: Path, tmp_path: Path) -> Blearner:
    options = {"dl_kwargs": {"bs": 4}, "learner_kwargs": {"path": tmp_path, "freeze": False}}
    return quiet(BlearnerForLM.from_data(ROWS, tiny_mlm, lm_type="masked", block_size=16, **options))


# -- chunks


def test_b16_chunks_of_one_split_hold_nothing_of_another(word_tokenizer: PreTrainedTokenizerFast):
    task = CausalLM(block_size=8)
    rows = [{"text": "good " * 5, "is_valid": False}, {"text": "bad " * 5, "is_valid": True}] * 9
    raw = from_data(task.schema, rows)
    hf = HFObjects("bert", None, word_tokenizer, None)
    good, bad = word_tokenizer.convert_tokens_to_ids(["good", "bad"])
    for split, own in (("train", good), ("valid", bad)):
        ids = task.encoded({"text": raw.splits[split]["text"][:]}, hf).columns["input_ids"].flat
        assert {good, bad} & set(ids.tolist()) == {own}


@pytest.mark.parametrize("task", [CausalLM(block_size=16), MaskedLM(block_size=16)], ids=["causal", "masked"])
def test_chunks_keep_to_their_limit_even_when_tokenized_again(task):
    """Section 3.5: ten texts, chunks of 16."""
    texts = [f"the cat number {i} sat" for i in range(10)]
    tokenizer = train_tokenizer("roberta", texts, vocab_size=300)
    rows = task.encode({"text": texts}, HFObjects("roberta", None, tokenizer, None))["input_ids"]
    read = [tokenizer.decode(ids, skip_special_tokens=True) for ids in rows]
    assert max(len(ids) for ids in rows) <= 16
    assert max(len(tokenizer(text).input_ids) for text in read) <= 16
    assert "".join(read) == "".join(texts), "the tail is kept, and nothing stands in two chunks"


def test_texts_are_joined_with_a_separator_and_cut():
    assert joined([[1, 2], [], [3]], [9]).tolist() == [1, 2, 9, 3]
    assert joined([[1, 2], [3]], []).tolist() == [1, 2, 3]
    assert cut(np.arange(7), 3) == [[0, 1, 2], [3, 4], [5, 6]], "a token alone would have no target"
    assert cut(np.arange(8), 3) == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert cut(np.arange(1), 3) == [[0]]
    assert cut(np.arange(0), 3) == []


@pytest.mark.parametrize(
    ("separator", "expected"),
    [("auto", ["</s>"]), ("", []), (".", ["."]), ("is a", ["is", "a"])],
    ids=["auto", "nothing", "text", "words"],
)
def test_the_separator_is_the_users_choice(separator, expected, word_tokenizer):
    ids = separator_ids(word_tokenizer, separator, ("eos_token",))
    assert word_tokenizer.convert_ids_to_tokens(ids) == expected


def test_a_tokenizer_without_separator_says_what_to_do(tiny_mlm: Path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_mlm)
    with pytest.raises(InputError, match=r"none of \['eos_token'\].*task\.separator"):
        separator_ids(tokenizer, "auto", ("eos_token",))


def test_a_block_without_room_or_limit_is_refused(word_tokenizer):
    frame = Frame.of(word_tokenizer)
    assert (frame.before, frame.after) == ([1], [2])
    with pytest.raises(InputError, match="task.block_size=3 leaves no room.*at least 4"):
        room_for(word_tokenizer, 3, frame)
    word_tokenizer.model_max_length = 10**30
    with pytest.raises(InputError, match="set task.block_size"):
        room_for(word_tokenizer, None, frame)
    assert room_for(word_tokenizer, 16, frame) == 14


@pytest.mark.parametrize("task", [CausalLM(chunk=False), MaskedLM(chunk=False)], ids=["causal", "masked"])
def test_one_row_per_text_is_cut_off_and_described_beside_its_source(task, tiny_gpt2, tiny_mlm):
    folder = tiny_gpt2 if isinstance(task, CausalLM) else tiny_mlm
    rows = [*ROWS, {"text": "  ", "is_valid": True}, {"text": "maria " * 99, "is_valid": True}]
    raw, hf = built(task, folder, rows)
    dls = task.dataloaders(raw, hf, Loader(batch_size=4))
    assert max(dls.valid_ds.columns["input_ids"].lengths) == 64
    assert len(dls.valid_ds) == raw.valid.num_rows - 1, "the blank text is left out"
    result = task.evaluate(quiet(task.learner(dls, hf, raw=raw, metrics={})), raw)
    assert len(result.rows) == len(dls.valid_ds)
    assert {row["is_valid"] for row in result.rows} == {True}, "columns of the source are kept"


def test_texts_keep_their_eos_where_a_row_is_a_text(tiny_gpt2: Path):
    task = CausalLM(chunk=False, block_size=12)
    _, hf = built(task, tiny_gpt2)
    short, long = task.encode({"text": ["tom", "maria eating the bread and is happy, " * 3]}, hf)["input_ids"]
    assert short[-1] == hf.tokenizer.eos_token_id
    assert (len(long), hf.tokenizer.eos_token_id in long) == (12, False)


def test_a_split_of_blank_texts_is_refused(word_tokenizer):
    with pytest.raises(InputError, match="nothing to learn from"):
        CausalLM(block_size=8).encode({"text": [" ", ""]}, HFObjects("bert", None, word_tokenizer, None))


def test_chunks_are_described_by_themselves(tiny_gpt2: Path):
    learner, raw = learner_of(CausalLM(block_size=16), tiny_gpt2)
    task = CausalLM(block_size=16)
    result = task.evaluate(learner, raw)
    assert len(result.rows) == len(learner.dls.valid_ds) != raw.valid.num_rows
    counts = {"token_count", "target_count", "right_count", "nll"}
    assert all(set(row) == {"text", "target", "prediction", "loss"} | counts for row in result.rows)
    assert all(row["token_count"] > row["target_count"] >= row["right_count"] for row in result.rows)


def test_a_folder_of_text_files_is_read(tiny_gpt2: Path, tmp_path: Path):
    for name, part in (("train", STORIES[:12]), ("valid", STORIES[12:])):
        (tmp_path / name).mkdir()
        for i, text in enumerate(part):
            (tmp_path / name / f"{i}.txt").write_text(f"{text}\n\n{text}\n")
    learner = BlearnerForLM.from_data(tmp_path, tiny_gpt2, block_size=16)
    assert len(learner.dls.train_ds) > len(learner.dls.valid_ds) > 0


# -- causal targets


def causal_rows(*rows: list[int]) -> list[dict]:
    return [TextRows({"input_ids": [row]})[0] for row in rows]


def test_b17_pads_are_no_targets_and_a_real_eos_is_one():
    """Section 3.5: ids [10, 11, 12, P, P] give labels [10, 11, 12, -100, -100]; here the pad token is the eos token."""
    inputs, targets = CausalCollator(2)(causal_rows([10, 11, 12], [10, 11, 2, 12, 2]))
    assert inputs["input_ids"].tolist() == [[10, 11, 12, 2, 2], [10, 11, 2, 12, 2]]
    assert inputs["labels"].tolist() == [[10, 11, 12, -100, -100], [10, 11, 2, 12, 2]]
    assert targets.tolist() == [[11, 12, -100, -100, -100], [11, 2, 12, 2, -100]]


def test_left_padding_has_the_same_targets_and_losses(tiny_gpt2: Path):
    model = GPT2LMHeadModel.from_pretrained(tiny_gpt2).eval()
    rows = causal_rows([10, 11, 12], [10, 11, 2, 12, 2])
    losses = []
    for side in ("right", "left"):
        inputs, targets = CausalCollator(2, padding_side=side)(rows)
        with torch.no_grad():
            output = model(**inputs)
        scores, _ = score_tokens(output.logits, targets)
        losses.append([output.loss.item(), float(scores.losses.mean())])
    assert targets.tolist() == [[-100, -100, 11, 12, -100], [11, 2, 12, 2, -100]]
    assert inputs["labels"].tolist() == [[-100, -100, -100, 11, 12], [10, 11, 2, 12, 2]]
    assert torch.allclose(torch.tensor(losses), torch.tensor(losses[0][0]), atol=1e-5)


def test_the_collators_work_in_a_plain_data_loader(tiny_mlm: Path):
    task = MaskedLM(block_size=16)
    _, hf = built(task, tiny_mlm)
    rows = task.encoded({"text": STORIES}, hf)
    for collator in (MaskingCollator(hf.tokenizer, Masking(), train=True), task.collator(hf, Loader(), train=False)):
        batches = list(DataLoader(rows, batch_size=4, collate_fn=collator))
        assert sum(len(y) for _, y in batches) == len(rows)
        assert all(torch.equal(x["labels"], y) for x, y in batches)


# -- masks


def words_of(batch: int, width: int, length: int = 2) -> np.ndarray:
    """Rows of words of equal length, a special token at each end."""
    words = np.tile(np.arange(width) // length, (batch, 1))
    words[:, [0, -1]] = -1
    return words


@pytest.mark.parametrize("name", OBJECTIVES)
def test_fifteen_percent_of_the_real_tokens_are_chosen_and_never_another(name):
    words = words_of(200, 128, 3)
    words[::2, 60:] = -1  # half of the rows are padded
    noise = np.random.default_rng(0).random((2, *words.shape))
    groups, units = OBJECTIVES[name](words, noise[0])
    chosen = choose(groups, units, noise[1], 0.15)
    assert not chosen[words < 0].any()
    for rows in (slice(0, None, 2), slice(1, None, 2)):
        assert chosen[rows].sum() / (words[rows] >= 0).sum() == pytest.approx(0.15, abs=0.012)
    assert chosen.any(axis=1).all()


def test_whole_words_are_hidden_whole():
    words = words_of(50, 40, 3)
    noise = np.random.default_rng(1).random((2, *words.shape))
    chosen = choose(*whole_words(words, noise[0]), noise[1], 0.3)
    for row, hit in zip(words, chosen, strict=True):
        for word in set(row[row >= 0]):
            assert hit[row == word].all() or not hit[row == word].any()


def test_spans_are_runs_of_whole_words_of_geometric_length():
    words = np.tile(np.arange(200), (300, 1))
    groups, units = spans(words, np.random.default_rng(2).random(words.shape))
    starts = np.array([len(set(row)) for row in groups])
    assert (units == words).all()
    assert 200 / starts.mean() == pytest.approx(3.8, abs=0.1), "SpanBERT's mean"
    lengths = np.unique(groups + np.arange(300)[:, None] * 1000, return_counts=True)[1]
    assert lengths.max() == 10
    assert (lengths == 1).mean() / (lengths == 2).mean() == pytest.approx(1 / 0.8, rel=0.1)


def test_a_span_ends_at_a_special_token():
    words = np.array([[0, 1, 2, -1, 3, 4, 5]])
    groups, _ = spans(words, np.full(words.shape, 0.99))
    assert groups.tolist() == [[0, 0, 0, -1, 4, 4, 4]]


@pytest.fixture
def collated(tiny_mlm: Path) -> Callable[..., tuple]:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_mlm)

    def collate(rows: list[list[int]], *, train: bool = True, numbers=None, **masking):
        columns = {"input_ids": rows, "words": [list(range(len(r))) for r in rows]}
        rows_ = TextRows({**columns, "number": numbers or list(range(len(rows)))})
        collator = MaskingCollator(tokenizer, Masking(**masking), train=train)
        return collator([rows_[i] for i in range(len(rows))])

    return collate


def test_of_the_chosen_eighty_percent_are_masked_ten_random_ten_kept(collated, tiny_mlm: Path):
    ids = [[20 + (i + j) % 20 for j in range(100)] for i in range(200)]
    inputs, targets = collated(ids)
    hidden = targets != IGNORED
    read, true = inputs["input_ids"][hidden], targets[hidden]
    mask = PreTrainedTokenizerFast.from_pretrained(tiny_mlm).mask_token_id
    assert hidden.sum() == 200 * 15
    assert float((read == mask).float().mean()) == pytest.approx(0.8, abs=0.03)
    assert float((read == true).float().mean()) == pytest.approx(0.1, abs=0.03)
    assert torch.equal(inputs["input_ids"][~hidden], torch.tensor(ids)[~hidden])


@pytest.mark.parametrize("length", [1, 2, 6])
def test_b37_a_short_row_has_a_target_and_its_loss_is_a_number(length, collated, tiny_mlm: Path):
    inputs, targets = collated([[20] * length] * 3)
    assert ((targets != IGNORED).sum(1) == 1).all()
    assert BertForMaskedLM.from_pretrained(tiny_mlm)(**inputs).loss.isfinite()


def test_b37_a_seed_gives_the_same_masks_again_and_another_seed_others(collated):
    ids = [[20] * 40] * 4
    one, again, other = (collated(ids, seed=seed)[0]["input_ids"] for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_masks_change_from_epoch_to_epoch_in_training_and_never_in_validation(tiny_mlm: Path):
    learner, _ = learner_of(MaskedLM(block_size=16), tiny_mlm)
    other, _ = learner_of(MaskedLM(block_size=16), tiny_mlm, seed=7, eval_batch_size=3)
    first = [y.tolist() for _, y in learner.dls.train]
    second = [y.tolist() for _, y in learner.dls.train]
    assert first != second
    found = [
        sorted(str([t for t in row if t >= 0]) for _, y in x.dls.valid for row in y.tolist())
        for x in (learner, learner, other)
    ]
    assert found[0] == found[1], "another epoch: the same masks"
    assert found[0] == found[2], "another seed and batch size: the same masks"


def hide_pairs(words: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An objective of a user's own: neighbouring tokens together."""
    pairs = np.where(words >= 0, np.arange(words.shape[1]) // 2 * 2, -1)
    return pairs, pairs


def test_an_objective_can_be_a_function_of_ones_own(collated):
    _, targets = collated([[20 + i for i in range(20)]], objective=hide_pairs, share=0.4)
    chosen = (targets[0] != IGNORED).reshape(-1, 2)
    assert torch.equal(chosen[:, 0], chosen[:, 1])
    assert chosen.sum() == 8


def test_an_objective_of_ones_own_is_named_in_the_config(work: Path, monkeypatch: pytest.MonkeyPatch):
    (work / "my_masks.py").write_text("def hide(words, noise):\n    return words, words\n")
    monkeypatch.syspath_prepend(work)
    cfg = compose(["task=masked_lm", "task.objective={_target_:my_masks.hide,_partial_:true}"])
    checks.check(cfg)
    task = build(cfg.task)
    assert task.objective(1, 2) == (1, 1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_masks_of_validation_do_not_depend_on_padding(side, tiny_mlm: Path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_mlm, padding_side=side)
    ids = [[20 + i for i in range(12)], [20] * 30]
    columns = {"input_ids": ids, "words": [[i // 2 for i in range(len(r))] for r in ids], "number": [0, 1]}
    rows = TextRows(columns)
    for objective in OBJECTIVES:
        collator = MaskingCollator(tokenizer, Masking(objective, share=0.5), train=False)
        alone = collator([rows[0]])[1][0]
        beside = collator([rows[0], rows[1]])[1][0]
        kept = beside[-12:] if side == "left" else beside[:12]
        assert torch.equal(alone, kept)
        assert (beside != IGNORED).sum() == (kept != IGNORED).sum()


def test_b18_special_tokens_given_as_a_list_are_never_hidden_nor_drawn(tiny_mlm: Path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_mlm, additional_special_tokens=["<a>", "<b>"])
    extra = tokenizer.convert_tokens_to_ids(["<a>", "<b>"])
    task = MaskedLM(block_size=32, mask_prob=0.9, as_mask=0.0, as_random=1.0)
    hf = HFObjects("bert", None, tokenizer, None)
    rows = task.encoded({"text": [f"<a> {text} <b>" for text in STORIES]}, hf)
    inputs, targets = task.collator(hf, Loader(), train=True)([rows[i] for i in range(len(rows))])
    special = torch.from_numpy(special_ids(tokenizer))
    assert set(extra) <= set(special.tolist())
    assert not torch.isin(targets, special).any()
    assert not torch.isin(inputs["input_ids"][targets != IGNORED], special).any()


def test_words_of_a_chunk_are_those_of_its_texts(tiny_mlm: Path):
    task = MaskedLM(block_size=64, objective="whole_word", separator="")
    _, hf = built(task, tiny_mlm)
    columns = task.encode({"text": ["maria", "tom eating"]}, hf)
    tokens = hf.tokenizer.convert_ids_to_tokens(columns["input_ids"][0])
    numbers = columns["words"][0]
    assert (numbers[0], numbers[-1]) == (-1, -1)
    assert len({n for n in numbers if n >= 0}) == 3, "two texts without separator are not one word"
    assert [n for n, t in zip(numbers, tokens, strict=True) if t.startswith("##")] == [
        numbers[i - 1] for i, t in enumerate(tokens) if t.startswith("##")
    ]


def test_a_slow_tokenizer_is_refused_where_words_are_needed():
    from transformers import ByT5Tokenizer

    encoded = plain_tokens(ByT5Tokenizer(), ["ab"])
    assert word_numbers(encoded, whole=False) == [[0, 1]]
    with pytest.raises(InputError, match="fast tokenizers.*task.objective=bert"):
        word_numbers(encoded, whole=True)


def test_shares_beyond_one_are_refused():
    with pytest.raises(InputError, match="together they must not exceed 1"):
        MaskedLM(as_mask=0.8, as_random=0.3)


def test_masking_a_batch_takes_milliseconds(collated):
    """1.x took 570 ms for a batch of 16 × 128."""
    import time

    ids = [[20] * 128] * 16
    collated(ids)
    start = time.process_time()
    for _ in range(5):
        collated(ids, objective="span")
    assert (time.process_time() - start) / 5 < 0.1


# -- metrics


def test_perplexity_weighs_every_token_alike_whatever_its_batch():
    logits, targets = torch.randn(3, 5, 7), torch.randint(0, 7, (3, 5))
    targets[0, 1:] = IGNORED
    targets[2] = IGNORED
    perplexity, accuracy = Perplexity(), TokenAccuracy()
    for i in range(3):
        batch = score_tokens(logits[i : i + 1], targets[i : i + 1])
        perplexity.update(*batch)
        accuracy.update(*batch)
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 7), targets.reshape(-1))
    assert float(perplexity.compute()) == pytest.approx(float(loss.exp()), rel=1e-5)
    real = targets != IGNORED
    assert accuracy.compute() == pytest.approx(float((logits.argmax(-1) == targets)[real].float().mean()))
    assert accuracy.tokens == 6


def test_no_logits_are_kept():
    scores, targets = score_tokens(torch.randn(2, 3, 50), torch.tensor([[1, 2, IGNORED], [IGNORED, 3, 4]]))
    assert isinstance(scores, TokenScores)
    assert [t.shape for t in (*scores, targets)] == [(4,)] * 3


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_perplexity_is_that_of_the_model_itself(kind, tiny_gpt2: Path, tiny_mlm: Path):
    task = CausalLM(block_size=16) if kind == "causal" else MaskedLM(block_size=16)
    learner, raw = learner_of(task, tiny_gpt2 if kind == "causal" else tiny_mlm)
    metrics = task.evaluate(learner, raw).metrics
    total, tokens = 0.0, 0
    with torch.no_grad():
        for x, y in learner.dls.valid:
            n = int((y != IGNORED).sum())
            total += float(learner.model.eval()(x).loss) * n
            tokens += n
    assert metrics["perplexity"] == pytest.approx(math.exp(total / tokens), rel=1e-4)
    assert metrics["loss"] == pytest.approx(total / tokens, rel=1e-4)


def test_bert_as_a_causal_model_does_not_see_what_it_is_to_predict(tiny_mlm: Path):
    _, hf = built(CausalLM(separator="."), tiny_mlm)
    ids = torch.tensor([[20, 21, 22, 23]])
    with torch.no_grad():
        one, other = (hf.model.eval()(input_ids=x).logits[:, :2] for x in (ids, ids.flip(1).fliplr().clone()))
        changed = hf.model(input_ids=torch.tensor([[20, 21, 30, 31]])).logits[:, :2]
    assert torch.allclose(one, changed, atol=1e-6)
    assert torch.allclose(one, other, atol=1e-6)


# -- prediction


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_it_learns_shows_exports_and_loads(kind, request: pytest.FixtureRequest, tmp_path: Path):
    learner = request.getfixturevalue(kind)
    before = learner.validate()[1]
    learner.fit_one_cycle(20, lr_max=1e-2)
    assert learner.validate()[1] < before / 2
    for table in (learner.dls.show_batch(max_n=2, show=False), learner.show_results(max_n=2, show=False)):
        assert len(table) == 2
        assert list(table[0])[:2] == ["text", "target"]
    assert list(table[0]) == ["text", "target", "prediction"]
    item = "tom seeing the" if kind == "causal" else "tom [MASK] the fish"
    found = learner.predict(item)
    learner.export("learner.pkl")
    assert load_learner(tmp_path / "learner.pkl").predict(item) == found


def test_a_prompt_is_continued_and_not_repeated(causal: Blearner):
    result = causal.blurr_generate("tom seeing the", max_new_tokens=5)
    assert list(result[0]) == ["generated_texts"]
    assert "tom seeing" not in result[0]["generated_texts"]
    assert causal.predict(["tom", ""], max_new_tokens=3)[0] == causal.blurr_generate("tom", max_new_tokens=3)[0]
    assert causal.blurr_generate("tom", max_length=3)[0].keys() == {"generated_texts"}
    many = causal.blurr_generate(["tom", "maria"], max_new_tokens=3, num_beams=2, num_return_sequences=2)
    assert [len(r["generated_texts"]) for r in many] == [2, 2]


def test_prompts_of_different_lengths_are_continued_as_each_alone(causal: Blearner):
    causal.fit(3, 1e-2)
    prompts = ["tom", "maria eating the cake and is", "tom baking", "maria seeing the bread and is happy and"]
    together = causal.blurr_generate(prompts, max_new_tokens=8)
    assert together == [causal.blurr_generate(p, max_new_tokens=8)[0] for p in prompts]


def test_a_prompt_that_is_too_long_keeps_its_end(causal: Blearner):
    long = "maria " * 200 + "tom seeing"
    assert isinstance(causal.blurr_generate(long, max_new_tokens=8)[0]["generated_texts"], str)
    with pytest.raises(InputError, match="max_new_tokens=64 leaves no room"):
        causal.blurr_generate("tom", max_new_tokens=64)


def test_b20_generation_and_filling_are_in_eval_mode_without_gradients(causal: Blearner, masked: Blearner):
    for learner, item in ((causal, "tom seeing"), (masked, "tom [MASK] the [MASK]")):
        modes = []
        learner.model.train()
        learner.model.hf_model.register_forward_pre_hook(
            lambda m, _, seen=modes: seen.append((m.training, torch.is_grad_enabled()))
        )
        assert learner.predict(item) == learner.predict(item)
        assert learner.model.training
        assert set(modes) == {(False, False)}


def test_b42_every_mask_has_its_own_answers_and_no_pieces_are_left(masked: Blearner):
    masked.fit_one_cycle(30, lr_max=1e-2)
    text = "Maria [MASK] the [MASK], and is  happy"
    (result,) = masked.blurr_fill_mask(text, n_preds=3)
    first, second = result["masks"]
    assert first != second
    assert [len(m["tokens"]) for m in result["masks"]] == [3, 3]
    assert len(result["filled_texts"]) == len(set(result["filled_texts"])) == 3
    assert result["scores"] == sorted(result["scores"], reverse=True)
    assert result["scores"][0] == pytest.approx(first["scores"][0] * second["scores"][0])
    for filled in result["filled_texts"]:
        assert "##" not in filled
        assert "[MASK]" not in filled
        assert re.fullmatch(r"Maria ?\S+ the ?\S+, and is  happy", filled), "the rest stays as it was written"
    specials = set(masked.dls.tokenizer.all_special_tokens)
    assert not specials & {t for m in result["masks"] for t in m["tokens"]}


def test_a_piece_is_joined_to_the_word_before_its_mask(masked: Blearner):
    from blurr.text.language_modeling.filling import _filled

    tokenizer = masked.dls.tokenizer
    vocab = tokenizer.get_vocab()
    piece = next(i for t, i in vocab.items() if t.startswith("##"))
    letters = tokenizer.convert_ids_to_tokens(piece).removeprefix("##")
    result = _filled(tokenizer, "eat [MASK] now", [[(piece, 0.5)]], 1)
    assert result["filled_texts"] == [f"eat{letters} now"]


def test_many_items_are_filled_in_their_order(masked: Blearner):
    texts = ["[MASK]", "tom [MASK] the fish and is happy", "maria [MASK]"]
    together = masked.predict(pd.DataFrame({"text": texts}))
    for one, result in zip(texts, together, strict=True):
        assert masked.predict(one)[0]["filled_texts"] == result["filled_texts"]


def test_fill_mask_says_what_is_missing(masked: Blearner, causal: Blearner):
    from blurr.text.modeling.all import blurr_fill_mask

    with pytest.raises(InputError, match=r"'tom eating' has no '\[MASK\]'"):
        masked.predict("tom eating")
    with pytest.raises(InputError, match=r"2 times '\[MASK\]', but only 1 of them.*64 tokens"):
        masked.predict("[MASK] " + "maria " * 99 + "[MASK]")
    with pytest.raises(InputError, match="no mask token"):
        blurr_fill_mask(causal, "tom")


def test_a_tokenizer_without_a_mask_token_is_refused_before_training(tiny_gpt2: Path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_gpt2)
    with pytest.raises(InputError, match=r"no mask token.*or task=causal_lm"):
        MaskingCollator(tokenizer, Masking(), train=True)


def test_a_model_that_reads_what_it_is_to_predict_is_refused(tmp_path: Path):
    """XLNet's language model copies each token, and its loss falls to nothing."""
    sizes = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}
    task = CausalLM(block_size=16)
    raw = from_data(task.schema, ROWS)
    made: dict = {"model_cls": task.model_cls, "config": {}, "load_weights": True, "weights": "scratch"}
    hf = build_model(
        "none", arch="xlnet", scratch=sizes, corpus=lambda: STORIES, scratch_vocab=100, **made, inputs=TEXT
    )
    with pytest.raises(InputError, match=r"xlnet reads the tokens that it is to predict.*model=gpt2"):
        task.target.loss_func(hf, raw)


def test_an_unknown_kind_of_language_model_is_refused(tiny_gpt2: Path):
    with pytest.raises(InputError, match=r"lm_type='prefix' is not one of \['causal', 'masked'\]"):
        BlearnerForLM.from_data(ROWS, tiny_gpt2, lm_type="prefix")


def test_the_masked_door_gives_a_masked_learner(masked: Blearner):
    assert isinstance(masked, BlearnerForMaskedLM)
    assert [m.name for m in masked.metrics] == ["perplexity", "token_accuracy"]


def test_hidden_words_are_shown_in_brackets(tiny_mlm: Path):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_mlm)
    ids = torch.tensor([tokenizer("maria eating the cake").input_ids])
    words = tokenizer("maria eating the cake").word_ids()
    marked = torch.tensor([[word in (1, 3) for word in words]])
    assert bracketed(tokenizer, ids, marked) == ["maria [eating] the [cake]"]
    ids[marked] = tokenizer.mask_token_id
    assert re.fullmatch(r"maria \[MASK\].* the \[MASK\].*", bracketed(tokenizer, ids, marked)[0])


# -- sample data


def test_stories_keep_to_the_words_of_one_trade():
    raw = load_samples(CausalLM.schema, rows=200)
    for text in raw.train["text"][:]:
        (trade,) = {name for name in TRADES if f"is a {name} from" in text}
        for other, (_, things, deeds, _) in TRADES.items():
            foreign = set(things.split()) | set(deeds.split())
            if other != trade:
                own = {w for part in TRADES[trade][1:] for w in part.split()}
                assert not (foreign - own) & set(re.findall(r"\w+", text))
