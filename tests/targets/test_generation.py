"""Generation settings: from the option to the model that is saved."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig

from blurr.config import paths, signatures
from blurr.config.annotations import SettingsOf
from blurr.config.composing import compose
from blurr.errors import InputError
from blurr.models.generation import as_prompts, generate_texts, generation_config, own_settings
from blurr.text.language_modeling.causal_lm import BlearnerForLM
from blurr.text.seq2seq.summarization import BlearnerForSummarization
from blurr.training.learner import Blearner

OPTIONS = sorted(paths.options("generation"))


@pytest.fixture
def model(tiny_bart: Path):
    return AutoModelForSeq2SeqLM.from_pretrained(tiny_bart)


def settings_of(*words: str) -> dict:
    return dict(compose(["task=summarization", *words]).task.generation)


# -- settings


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_can_be_used_and_saved(option: str, model, work: Path):
    model.generation_config = generation_config(model, settings_of(f"generation={option}"))
    model.save_pretrained(work)
    kept = GenerationConfig.from_pretrained(work)
    assert all(getattr(kept, name) in (value, None) for name, value in settings_of(f"generation={option}").items())


def test_settings_of_the_command_line_win_over_those_of_the_option():
    assert settings_of("generation=beam")["num_beams"] == 4
    assert settings_of("generation=beam", "task.generation.num_beams=2")["num_beams"] == 2


def test_what_needs_beams_or_sampling_is_left_out_where_there_are_none(model):
    model.generation_config.update(num_beams=4, length_penalty=2.0, early_stopping=True, do_sample=True, top_p=0.5)
    config = generation_config(model, {"num_beams": 1, "do_sample": False})
    assert (config.length_penalty, config.early_stopping, config.top_p) == (None, None, None)
    assert model.generation_config.length_penalty == 2.0


def test_a_length_puts_one_of_the_other_kind_out_of_force(model):
    model.generation_config.max_length = 20
    assert generation_config(model, {"max_new_tokens": 5}).max_length is None
    model.generation_config.max_new_tokens = 5
    assert generation_config(model, {"max_length": 9}).max_new_tokens is None


def test_of_both_lengths_the_one_in_all_tokens_is_in_force(model):
    """`generation=greedy` has a max_new_tokens of its own, which won over the user's max_length."""
    config = generation_config(model, settings_of("generation=greedy", "+task.generation.max_length=6"))
    assert (config.max_length, config.max_new_tokens) == (6, None)


def test_a_text_longer_than_the_decoder_has_positions_for_is_refused(model):
    """It ended in an IndexError, after an epoch of training."""
    most = model.config.max_position_embeddings
    generation_config(model, {"max_new_tokens": most})
    generation_config(model, {"max_length": most + 1})
    with pytest.raises(InputError, match=f"max_new_tokens={most + 1}: the decoder of this bart has {most} positions"):
        generation_config(model, {"max_new_tokens": most + 1})
    with pytest.raises(InputError, match=f"Set max_length to {most + 1} or less"):
        generation_config(model, {"max_length": most + 2, "max_new_tokens": 5})


def test_a_least_length_of_the_checkpoints_goes_where_it_is_above_the_users_longest(model):
    model.generation_config.min_length = 56
    assert generation_config(model, {"max_new_tokens": 5}).min_length is None
    assert generation_config(model, {"max_new_tokens": 64}).min_length == 56
    assert generation_config(model, {"max_new_tokens": 5, "min_length": 3}).min_length == 3


def test_settings_of_the_checkpoints_that_stay_in_force_are_named(notes, tiny_bart: Path, caplog):
    with caplog.at_level("INFO"):
        learn = BlearnerForSummarization.from_data(notes, tiny_bart, text_gen_kwargs={"max_new_tokens": 3})
    assert "own generation settings" not in caplog.text  # ids of special tokens are nothing to choose
    own = GenerationConfig(no_repeat_ngram_size=3, num_beams=4, length_penalty=2.0, min_length=2, max_length=9)
    learn.model.hf_model.generation_config = own
    config = generation_config(learn.model.hf_model, {"max_new_tokens": 3, "num_beams": 1, "do_sample": False})
    assert own_settings(config, {"max_new_tokens": 3, "num_beams": 1}) == {"no_repeat_ngram_size": 3, "min_length": 2}


def test_that_a_length_is_out_of_force_is_said(notes, tiny_bart: Path, caplog):
    with caplog.at_level("INFO"):
        both = {"max_new_tokens": 3, "max_length": 4}
        BlearnerForSummarization.from_data(notes, tiny_bart, text_gen_kwargs=both)
    assert "Texts end by max_length=4, not by max_new_tokens=3." in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beem": 2}, r"no setting 'num_beem'\. Did you mean 'num_beams'\?"),
        ({"num_return_sequences": 3, "num_beams": 2}, "do not go together: .*num_return_sequences"),
    ],
    ids=["unknown", "together"],
)
def test_settings_that_cannot_be_are_refused(settings: dict, message: str, model):
    with pytest.raises(InputError, match=message):
        generation_config(model, settings)


def test_an_unknown_setting_is_refused_before_anything_loads(answer):
    said = answer("task=summarization", "+task.generation.lenght_penalty=2")
    assert "Did you mean 'length_penalty'?" in said
    assert "transformers.GenerationConfig" in said


def test_a_task_that_writes_no_texts_has_no_generation(answer):
    assert "There is no 'task.generation'" in answer("task=sequence_classification", "generation=beam")


def test_settings_of_an_unknown_library_are_not_checked():
    assert signatures.attributes(SettingsOf("no_such_library", "a.py", "A")) == frozenset()


# -- the model takes them over


def test_a_saved_model_generates_as_its_learner_did(notes: pd.DataFrame, tiny_bart: Path, work: Path):
    wished = {"max_new_tokens": 5, "min_new_tokens": 5, "num_beams": 3}
    learn = BlearnerForSummarization.from_data(notes, tiny_bart, text_gen_kwargs=wished)
    learn.model.hf_model.save_pretrained(work)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(work), AutoTokenizer.from_pretrained(tiny_bart)
    inputs = tokenizer("the film was good and it is a plot", return_tensors="pt")
    text = tokenizer.decode(model.eval().generate(**inputs)[0], skip_special_tokens=True).strip()
    assert model.generation_config.num_beams == 3
    assert learn.predict("the film was good and it is a plot")[0]["summary_texts"] == text


def test_settings_of_a_call_win_and_stay_in_it(notes: pd.DataFrame, tiny_bart: Path):
    learn = BlearnerForSummarization.from_data(notes, tiny_bart, text_gen_kwargs={"max_new_tokens": 2})
    before = learn.predict("the film was good")
    learn.predict("the film was good", max_new_tokens=9, min_new_tokens=9, num_beams=2)
    assert learn.predict("the film was good") == before


def test_metrics_compare_one_text_though_several_are_asked_for(notes: pd.DataFrame, tiny_bart: Path, work: Path):
    wished = {"max_new_tokens": 2, "num_beams": 2, "num_return_sequences": 2}
    learn = BlearnerForSummarization.from_data(notes, tiny_bart, text_gen_kwargs=wished, learner_kwargs={"path": work})
    learn.remove_cbs([learn.progress])
    with learn.no_bar(), learn.no_logging():
        assert len(learn.validate()) == 5
    assert len(learn.predict("the film")[0]["summary_texts"]) == 2


def test_batches_and_an_encoder_run_once_give_the_texts_of_single_rows(model, tiny_bart: Path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_bart)
    texts = ["the film was good", "a plot and the film was awful and it is a film", "it is"]
    settings = {"max_new_tokens": 6, "min_new_tokens": 3}
    inputs = dict(tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False))
    with torch.no_grad():
        encoded = model.eval().get_encoder()(**inputs).last_hidden_state
    alone = [
        generate_texts(model, tokenizer, dict(tokenizer(t, return_tensors="pt", return_token_type_ids=False)), settings)
        for t in texts
    ]
    together = generate_texts(model, tokenizer, inputs, settings, encoded=encoded)
    assert together == [text for (text,) in alone]


# -- going on with texts


@pytest.fixture
def writer(tiny_bert: Path, tmp_path: Path) -> Blearner:
    """A causal language model, untrained: its head is drawn by the seed."""
    torch.manual_seed(0)
    texts = ["the film was good and it is a plot", "a plot"] * 8
    rows = pd.DataFrame({"text": texts, "is_valid": [i > 9 for i in range(16)]})
    options = {"chunk": False, "task_kwargs": {"generation": {"max_new_tokens": 3}}}
    return BlearnerForLM.from_data(
        rows, tiny_bert, hf_kwargs={"config": {"is_decoder": True}}, learner_kwargs={"path": tmp_path}, **options
    )


PROMPTS = ["the film was good and it is a plot", "a", "a plot", "the film", "it is", "is it a"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_beams": 2},
        {"max_length": 14},
        {"repetition_penalty": 3.0},
        {"no_repeat_ngram_size": 1},
        {"min_length": 12, "max_new_tokens": 18},
    ],
    ids=lambda settings: " ".join(settings) or "greedy",
)
def test_a_prompt_is_gone_on_with_alone_as_beside_longer_ones(settings: dict, writer: Blearner):
    """Of a prompt that is padded on the left, pads would count as tokens."""
    together = writer.predict(PROMPTS, **settings)
    assert [writer.predict(prompt, **settings)[0] for prompt in PROMPTS] == together
    assert len({row["generated_texts"] for row in together}) > 1


def test_a_prompt_that_fills_the_longest_text_is_refused(writer: Blearner):
    with pytest.raises(InputError, match=r"max_length=3 counts the tokens of the prompt.*are 10\."):
        writer.predict(PROMPTS[0], max_length=3)
    with pytest.raises(InputError, match="max_new_tokens=40 leaves no room for a text"):
        writer.predict(PROMPTS[0], max_new_tokens=40)


def test_a_prompt_that_is_too_long_loses_its_beginning(writer: Blearner):
    long = " ".join(["the film was good and it is a plot"] * 8)
    assert writer.predict(long, max_new_tokens=20) == writer.predict(long.split(" ", 30)[-1], max_new_tokens=20)


def test_nothing_to_go_on_with_is_refused(tiny_bert: Path):
    inputs = {"input_ids": torch.zeros(1, 3, dtype=torch.long), "attention_mask": torch.zeros(1, 3, dtype=torch.long)}
    with pytest.raises(InputError, match="nothing to continue"):
        as_prompts(inputs, AutoTokenizer.from_pretrained(tiny_bert), GenerationConfig(max_new_tokens=2))


def test_one_seed_draws_the_same_texts(writer: Blearner):
    draw = {"do_sample": True, "max_new_tokens": 6, "temperature": 5.0}
    first = writer.predict(PROMPTS, seed=1, **draw)
    assert writer.predict(PROMPTS, seed=1, **draw) == first
    assert writer.predict(PROMPTS, seed=2, **draw) != first
    before = torch.random.get_rng_state()
    writer.predict(PROMPTS, seed=1, **draw)
    assert torch.equal(before, torch.random.get_rng_state()), "the draws of others go on as they would have"
