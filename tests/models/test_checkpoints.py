"""A checkpoint is a guest with habits of its own: each is respected or refused, in every task."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from checkpoints import HABITS, reversed_labels, stored_in, with_habit, without_tensors
from every_task import TASKS, items_of, objects_of, rows_of
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
)

from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.models.heads import check_order, fit_head, label_parameters
from blurr.models.objects import HFObjects, build_model
from blurr.report.overview import run_facts
from blurr.runs.record import Record
from blurr.serve.predictor import Predictor
from blurr.targets.classes import weights_by_name
from blurr.tasks.saved import SavedTask, save_model
from blurr.text.inputs import TEXT, add_pad_token, counts_rows
from blurr.text.modeling.all import BlearnerForSequenceClassification
from blurr.text.objects import NLP
from blurr.text.scratch import train_tokenizer
from blurr.training.precision import check_precision

CLASSIFIER = "AutoModelForSequenceClassification"
# For each habit the tasks in which it shows; all others are slow tests.
TELLING = {
    "bf16": ("sequence_classification", "summarization", "causal_lm"),
    "fp16": ("question_answering",),
    "other head": ("question_answering", "token_classification", "masked_lm"),
    "no limit": ("causal_lm", "translation"),
    "no pad": ("sequence_classification", "causal_lm", "summarization"),
    "spare rows": ("masked_lm", "summarization"),
    "bos 0": ("question_answering", "summarization", "causal_lm"),
    "separators in texts": tuple(TASKS),
}
SLOW = [
    pytest.param(habit, task, id=f"{habit}, {task}", marks=[] if task in tasks else pytest.mark.slow)
    for habit, tasks in TELLING.items()
    for task in TASKS
]
WRITTEN = "</s> <pad> <s>"


def built(folder: Path, names: list[str] | None = None, **options: Any) -> HFObjects:
    """Build a classifier as a run does; by default of the labels `down` and `up`."""
    names = ["down", "up"] if names is None else names
    values = {"num_labels": len(names), "id2label": dict(enumerate(names))}
    values |= {"problem_type": "single_label_classification"} if len(names) > 1 else {}
    given = {"model_cls": CLASSIFIER, "config": values, "corpus": tuple, "load_weights": True, "weights": "pretrained"}
    return build_model(str(folder), **{**given, **options}, inputs=TEXT)


def with_separators(name: str) -> list[dict[str, Any]]:
    """The rows of a task, special tokens written in every text that is read."""
    rows = rows_of(name)
    for row in rows[::2]:
        for role in set(TASKS[name].schema.inputs) & set(row):
            if name == "chat":
                row[role] = [{**each, "content": f"{each['content']} {WRITTEN}"} for each in row[role]]
                continue
            row[role] = row[role] + (WRITTEN.split() if isinstance(row[role], list) else f" {WRITTEN}")
        if name == "token_classification":
            row["labels"] = [*row["labels"], "O", "O", "O"]
    return rows


@pytest.mark.parametrize(("habit", "name"), SLOW)
def test_a_habit_is_respected_in_training_and_in_what_was_saved(
    habit: str, name: str, tiny_bert: Path, tiny_bart: Path, tmp_path: Path
):
    task = TASKS[name]
    change = HABITS.get(habit, lambda *both: both)
    bert, bart = (with_habit(each, tmp_path / each.name, change) for each in (tiny_bert, tiny_bart))
    raw, hf = objects_of(name, bert, bart)
    if habit == "separators in texts":
        raw = from_data(task.schema, with_separators(name))
    assert hf.model.dtype == torch.float32
    assert hf.model.get_input_embeddings().num_embeddings >= len(hf.tokenizer)
    dls = task.dataloaders(raw, hf, Loader(batch_size=4))
    check_ids(dls.train.dataset.columns["input_ids"], hf.tokenizer)
    learn = task.learner(dls, hf, raw=raw, metrics={})
    learn.remove_cbs([learn.progress])
    with learn.no_logging(), learn.no_bar():
        learn.fit(1, 1e-3)
    assert np.isfinite(learn.recorder.values).all()
    save_model(tmp_path / "model", SavedTask(task.resolved(learn), choices={"task": name}), hf)
    items = [{**item} for item in items_of(name, 4)]
    assert same(Predictor.load(tmp_path / "model", device="cpu").predict(items), learn.predict(items))


def check_ids(rows: Any, tokenizer: Any) -> None:
    """Special tokens stand at the ends of a text and between two, and nowhere else."""
    special = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.mask_token_id}
    for ids in rows:
        inside = ids[1:].tolist() if hasattr(ids, "tolist") else list(ids)[1:]
        assert not special & set(inside)


def same(one: Any, two: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    return one == pytest.approx(two, abs=1e-5) if isinstance(one, float) else one == two


# -- the type of the numbers


@pytest.fixture(scope="module")
def bf16(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_habit(tiny_bert, tmp_path_factory.mktemp("bf16"), stored_in(torch.bfloat16))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, torch.float32),
        ({"dtype": "stored"}, torch.bfloat16),
        ({"dtype": "float16"}, torch.float16),
        ({"weights": "scratch"}, torch.float32),
        ({"weights": "scratch", "dtype": "stored"}, torch.bfloat16),
        ({"load_weights": False}, torch.float32),
        ({"model_kwargs": {"dtype": torch.bfloat16}}, torch.bfloat16),
    ],
    ids=["auto", "stored", "float16", "random", "random, stored", "planned", "in words of transformers"],
)
def test_weights_are_trained_in_fp32_unless_something_else_is_asked_for(bf16: Path, options: dict, expected):
    hf = built(bf16, **options)
    assert hf.model.dtype == hf.model.config.dtype == expected
    assert hf.stored == "bfloat16"


def test_a_notebook_loads_in_fp32_too(bf16: Path, reviews):
    hf = NLP.get_hf_objects(bf16, AutoModelForSequenceClassification)
    assert hf.model.dtype == torch.float32
    learn = BlearnerForSequenceClassification.from_data(reviews, bf16)
    assert learn.model.hf_model.dtype == torch.float32


def test_small_steps_move_the_weights_of_a_checkpoint_in_16_bits(bf16: Path, tiny_bert: Path, tmp_path: Path):
    """In bfloat16, a step of 2e-5 is rounded away for most weights."""
    raw, _ = objects_of("sequence_classification", tiny_bert, tiny_bert)
    hf, task = built(bf16), TASKS["sequence_classification"]
    before = {name: value.clone() for name, value in hf.model.bert.encoder.named_parameters()}
    learn = task.learner(task.dataloaders(raw, hf, Loader(batch_size=4)), hf, raw=raw, metrics={})
    with learn.no_logging(), learn.no_bar():
        learn.fit(1, 2e-5)
    moved = torch.cat([(value != before[name]).flatten() for name, value in hf.model.bert.encoder.named_parameters()])
    assert moved.float().mean() > 0.95
    save_model(tmp_path, SavedTask(task.resolved(learn)), hf)
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path).dtype == torch.float32


@pytest.mark.parametrize("name", ["sequence_classification", "question_answering", "masked_lm", "summarization"])
def test_weights_of_16_bits_train_where_they_are_asked_for(name: str, tiny_bert: Path, tiny_bart: Path, caplog):
    task = TASKS[name]
    raw, _ = objects_of(name, tiny_bert, tiny_bart)
    folder = tiny_bart if task.model_cls == "AutoModelForSeq2SeqLM" else tiny_bert
    options = {"model_cls": task.model_cls, "config": task.target.model_config(raw), "dtype": "bfloat16"}
    with caplog.at_level(logging.WARNING):
        hf = built(folder, **options)
    assert "steps that are small beside a weight are rounded away" in caplog.text
    learn = task.learner(task.dataloaders(raw, hf, Loader(batch_size=4)), hf, raw=raw, metrics={})
    with learn.no_logging(), learn.no_bar():
        learn.fit(1, 1e-3)
    assert np.isfinite(learn.recorder.values).all()
    assert task.evaluate(learn, raw).rows


def test_scaled_gradients_of_fp16_weights_are_refused():
    with pytest.raises(InputError, match="precision=fp16 scales the gradients of weights in float32"):
        check_precision(torch.float16, "fp16")
    check_precision(torch.float32, "fp16")


def test_the_card_says_in_which_numbers_the_weights_are(tmp_path: Path):
    facts = {"numbers": {"trained": "float32", "stored": "bfloat16"}}
    (tmp_path / "facts.json").write_text(json.dumps(facts))
    (tmp_path / "config.yaml").write_text("{}")
    assert run_facts(Record(tmp_path))["numbers"] == "float32 (the checkpoint has bfloat16)"


# -- labels


@pytest.fixture(scope="module")
def classifier(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that tells `down` from `up`."""
    folder = tmp_path_factory.mktemp("classifier")
    config = BertConfig.from_pretrained(tiny_bert, id2label={0: "down", 1: "up"}, label2id={"down": 0, "up": 1})
    torch.manual_seed(1)
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder


def answers(hf: HFObjects, name: str, raw: Any) -> list[Any]:
    task = TASKS[name]
    learn = task.learner(task.dataloaders(raw, hf, Loader()), hf, raw=raw, metrics={})
    rows = task.evaluate(learn, raw).rows
    assert all(np.isfinite(row["loss"]) for row in rows)
    return [(row["target"], row["prediction"], round(row["loss"], 5)) for row in rows]


def test_the_order_of_a_checkpoints_labels_is_kept(classifier: Path, tmp_path: Path, caplog):
    """The head of a checkpoint whose labels stand in another order was taken for one of sorted labels."""
    other = with_habit(classifier, tmp_path / "other", reversed_labels)
    raw = from_data(TASKS["sequence_classification"].schema, rows_of("sequence_classification"))
    with caplog.at_level(logging.INFO):
        one, two = (built(folder) for folder in (classifier, other))
    assert two.label_names == ["up", "down"]
    assert two.config.label2id == {"up": 0, "down": 1}
    assert "Labels are in the order of the checkpoint's head: 'up', 'down'." in caplog.text
    assert answers(one, "sequence_classification", raw) == answers(two, "sequence_classification", raw)
    assert built(other, load_weights=False).label_names == ["up", "down"]


def test_the_order_of_a_checkpoints_tags_is_kept(tiny_bert: Path, tmp_path: Path):
    task = TASKS["token_classification"]
    raw, hf = objects_of("token_classification", tiny_bert, tiny_bert)
    save_model(tmp_path / "one", SavedTask(task), hf)
    other = with_habit(tmp_path / "one", tmp_path / "other", reversed_labels)
    values = {"model_cls": task.model_cls, "config": task.target.model_config(raw)}
    both = [built(folder, **values) for folder in (tmp_path / "one", other)]
    assert [each.label_names for each in both] == [["O", "B-X"], ["B-X", "O"]]
    assert answers(both[0], "token_classification", raw) == answers(both[1], "token_classification", raw)


@pytest.mark.parametrize(
    ("stored", "asked", "said", "kept"),
    [
        (["down", "up"], ["ham", "spam"], "New head: the labels 'ham', 'spam' in place of 'down', 'up'.", False),
        (["down", "up"], ["a", "b", "c"], "New head: 3 labels in place of 2.", False),
        (["down", "up"], ["value"], "New head: 1 label in place of 2.", False),
        (["LABEL_0", "LABEL_1"], ["ham", "spam"], "have no names; they are taken for LABEL_0 = ham, LABEL_1 = s", True),
        (["up", "down"], ["down", "up"], "Labels are in the order", True),
    ],
    ids=["other names", "more labels", "a number", "no names", "another order"],
)
def test_a_head_of_other_labels_is_made_anew_and_said(
    stored: list[str], asked: list[str], said: str, kept: bool, classifier: Path, tmp_path: Path, caplog
):
    def rename(model: Any, tokenizer: Any) -> Any:
        model.config.id2label = dict(enumerate(stored))
        return model, tokenizer

    folder = with_habit(classifier, tmp_path / "named", rename)
    with caplog.at_level(logging.INFO):
        hf = built(folder, asked)
    assert caplog.text.count(said) == 1
    before = AutoModelForSequenceClassification.from_pretrained(classifier)
    assert hf.model.classifier.weight.shape[0] == len(asked)
    assert torch.equal(hf.model.bert.pooler.dense.weight, before.bert.pooler.dense.weight)
    assert hf.model.classifier.weight.std() < 0.1
    if len(asked) == len(stored):
        assert torch.equal(hf.model.classifier.weight, before.classifier.weight) == kept


def test_what_has_a_row_for_each_label_is_found_in_the_model(classifier: Path):
    model = built(classifier).model
    assert label_parameters(model) == {"classifier.weight", "classifier.bias"}
    fit_head(model, model.config, missing=set(), resized=set())  # the same labels: nothing to do


def test_a_question_is_answered_by_a_checkpoint_of_another_task(tiny_bert: Path, tmp_path: Path, caplog):
    """A head of spans has two outputs, however many labels the checkpoint has told apart."""
    folder = with_habit(tiny_bert, tmp_path / "mnli", HABITS["other head"])
    with caplog.at_level(logging.INFO):
        _, hf = objects_of("question_answering", folder, folder)
    assert hf.model.qa_outputs.out_features == 2
    assert "New head: qa_outputs, 66 parameters." in caplog.text
    assert caplog.text.count("New head") == 1


def test_a_head_of_another_task_is_made_anew_and_never_answers(classifier: Path, caplog):
    """Heads for texts and for words have the same names and sizes: one was taken for the other."""
    with caplog.at_level(logging.INFO):
        hf = built(classifier, model_cls="AutoModelForTokenClassification")
    assert "New head: the one of the checkpoint is of another task (BertForSequenceClassification)." in caplog.text
    before = AutoModelForSequenceClassification.from_pretrained(classifier)
    assert not torch.equal(hf.model.classifier.weight, before.classifier.weight)
    message = "The head of .* is that of a BertForSequenceClassification, not of a BertForTokenClassification"
    with pytest.raises(InputError, match=message):
        Predictor.load(classifier, words=["task=token_classification"])


def test_weights_of_classes_may_be_given_by_name():
    assert weights_by_name({"up": 3, "down": 1}, ["down", "up"]) == [1.0, 3.0]
    with pytest.raises(InputError, match=r"has weights for \['up'\]; the classes are \['down', 'up'\]"):
        weights_by_name({"up": 3}, ["down", "up"])


def test_a_block_that_numbers_the_labels_in_another_order_is_refused(classifier: Path):
    """What it trained was saved with the names of its classes exchanged."""
    config = built(classifier).config
    check_order(["down", "up"], config)
    check_order(["ham", "spam"], config)
    with pytest.raises(InputError, match=r"in the order 'up', 'down', and the model in the order 'down', 'up'"):
        check_order(["up", "down"], config)


# -- missing tensors


def test_a_missing_tensor_of_the_body_is_refused_and_named(tiny_bert: Path, tmp_path: Path):
    folder = without_tensors(tiny_bert, tmp_path / "ck", "layer.1.attention.self.query.weight")
    message = (
        r"lacks weights of the model's body.*bert\.encoder\.layer\.1\.attention\.self\.query\.weight.*allow_missing"
    )
    with pytest.raises(InputError, match=message):
        built(folder)
    hf = built(folder, allow_missing=[r"layer\.1\..*query"])
    assert hf.model.bert.encoder.layer[1].attention.self.query.weight.isfinite().all()


def test_a_body_of_another_size_is_refused(tiny_bert: Path):
    with pytest.raises(InputError, match=r"or has them in another size: bert\.encoder\.layer\.0\.intermediate"):
        built(tiny_bert, config_kwargs={"intermediate_size": 48})


def test_head_and_pooler_may_be_made_anew_and_are_named(tiny_bert: Path, tmp_path: Path, caplog):
    folder = without_tensors(tiny_bert, tmp_path / "ck", "pooler", "classifier")
    with caplog.at_level(logging.INFO):
        built(folder)
    # pooler: 32 x 32 + 32; classifier: 3 or 2 labels
    assert re.search(r"New head: classifier, pooler, 1,1\d\d parameters\.", caplog.text)
    assert caplog.text.count("New head") == 1


def test_the_body_of_a_model_without_a_prefix_is_known(tiny_bart: Path, tmp_path: Path):
    """T5 and EncoderDecoder models have no part that is called after their body."""
    config = transformers.T5Config(
        vocab_size=24, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0, eos_token_id=2
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(tmp_path / "t5")
    AutoTokenizer.from_pretrained(tiny_bart).save_pretrained(tmp_path / "t5")
    given = {"model_cls": "AutoModelForSeq2SeqLM", "config": {}}
    assert built(tmp_path / "t5", **given).model.dtype == torch.float32
    folder = without_tensors(tmp_path / "t5", tmp_path / "ck", "decoder.block.0.layer.1")
    with pytest.raises(InputError, match=r"lacks weights of the model's body.*decoder\.block\.0\.layer\.1"):
        built(folder, **given)


@pytest.mark.parametrize("part", ["query", "classifier", "pooler"])
def test_what_is_not_trained_must_be_whole(part: str, classifier: Path, tmp_path: Path):
    """A model of which a part is random would give plausible answers."""
    raw = from_data(TASKS["sequence_classification"].schema, rows_of("sequence_classification"))
    task, hf = TASKS["sequence_classification"], built(classifier)
    learn = task.learner(task.dataloaders(raw, hf, Loader()), hf, raw=raw, metrics={})
    save_model(tmp_path / "model", SavedTask(task.resolved(learn)), hf)
    folder = without_tensors(tmp_path / "model", tmp_path / "broken", part)
    with pytest.raises(InputError, match=rf"lacks .*{part}.*what it says would be random"):
        Predictor.load(folder)


# -- tokens and rows


def test_rows_that_no_token_uses_stay(tiny_bert: Path, tmp_path: Path):
    def change(model: Any, tokenizer: Any) -> Any:
        return HABITS["no pad"](*HABITS["spare rows"](model, tokenizer))

    folder = with_habit(tiny_bert, tmp_path / "ck", change)
    stored = AutoModelForSequenceClassification.from_pretrained(folder).get_input_embeddings().weight
    hf = built(folder)
    assert torch.equal(hf.model.get_input_embeddings().weight, stored)
    assert hf.config.pad_token_id == hf.tokenizer.pad_token_id < len(stored)


def test_tokens_of_the_user_get_rows_even_where_there_is_a_pad(tiny_bert: Path):
    hf = built(tiny_bert, tokenizer_kwargs={"additional_special_tokens": ["[ENT]", "[REL]"]})
    assert hf.model.get_input_embeddings().num_embeddings == hf.tokenizer.convert_tokens_to_ids("[REL]") + 1


def test_a_model_with_a_row_for_each_token_elsewhere_takes_its_end_token_for_the_pad(tiny_bert: Path):
    """DeepSeek-V4 looks the experts of a token up in a table as long as its vocabulary."""
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(tiny_bert),
        AutoTokenizer.from_pretrained(tiny_bert),
    )
    assert not counts_rows(model)
    model.register_buffer("experts", torch.zeros(len(tokenizer), 2, dtype=torch.long))
    assert counts_rows(model)
    tokenizer.pad_token = None
    rows = model.get_input_embeddings().num_embeddings
    add_pad_token(tokenizer, model)
    assert tokenizer.pad_token == "</s>"
    assert model.get_input_embeddings().num_embeddings == rows
    tokenizer.add_tokens(["more"])
    with pytest.raises(InputError, match="to which none can be added"):
        add_pad_token(tokenizer, model)


def test_an_architecture_that_embeds_its_texts_twice_takes_its_end_token_for_the_pad(tiny_bert: Path):
    """BLT divides a text into patches by an embedding of its own, which nothing resizes."""
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    model.patcher = torch.nn.Embedding(model.get_input_embeddings().num_embeddings, 4)
    assert counts_rows(model)


def test_a_language_model_of_llama_learns_to_answer_and_is_saved_under_the_names_of_its_class(tmp_path: Path):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    train_tokenizer("gpt2", ["a film"], vocab_size=300).save_pretrained(tmp_path / "lm")
    lm = LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=300))
    lm.save_pretrained(tmp_path / "lm")
    hf = NLP.get_hf_objects(tmp_path / "lm", AutoModelForQuestionAnswering)
    assert hf.new == {"qa_outputs.weight", "qa_outputs.bias"}
    assert torch.equal(hf.model.transformer.layers[0].mlp.up_proj.weight, lm.model.layers[0].mlp.up_proj.weight)
    hf.model.save_pretrained(tmp_path / "qa")
    again, info = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "qa", output_loading_info=True)
    assert not info["missing_keys"]
    assert torch.equal(again.transformer.norm.weight, hf.model.transformer.norm.weight)


def test_a_start_token_with_the_id_0_starts():
    texts = [f"a film number {i}" for i in range(40)]
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    given = {"model_cls": "AutoModelForSeq2SeqLM", "config": {}, "weights": "scratch", "arch": "mvp"}
    hf = built(Path("none"), **given, corpus=lambda: texts, scratch=sizes, scratch_tokenizer="XLMRobertaTokenizer")
    assert hf.tokenizer.bos_token_id == 0
    assert hf.config.decoder_start_token_id == 0
