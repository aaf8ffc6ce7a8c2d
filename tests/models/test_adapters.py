"""An adapter trains beside a base that stays as it is, and what is saved of it reloads to the same logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from every_task import loaded
from fastai.callback.core import Callback
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    ResNetConfig,
    ResNetForImageClassification,
)

from blurr.config import composing, paths
from blurr.config.building import build
from blurr.data.at_hand import from_data
from blurr.errors import InputError
from blurr.loading.loader import Loader
from blurr.models import adapted
from blurr.models.adapted import AdapterOptions
from blurr.models.adapter_files import save_adapter
from blurr.models.adapter_targets import targets_of
from blurr.models.adapters import dora, ia3, lora, pissa, rslora, vera, with_adapter
from blurr.models.groups import blurr_splitter
from blurr.models.objects import HFObjects
from blurr.serve.predictor import Predictor
from blurr.tasks.notebook import load_learner
from blurr.tasks.saved import SavedTask, save_model
from blurr.text.modeling.all import Blearner, BlearnerForSequenceClassification, SequenceClassification
from blurr.training.callbacks.cache_frozen_features import CacheFrozenFeatures
from blurr.training.callbacks.ema import EMA
from blurr.training.callbacks.gradient_accumulation import GradientAccumulation
from blurr.training.callbacks.gradient_checkpointing import GradientCheckpointing
from blurr.training.callbacks.save_best import SaveBest
from blurr.training.default_rates import default_rate
from blurr.training.precision import BFloat16, CompileModel, seed_everything

LR, CLOSE = 1e-2, 1e-6
KINDS: dict[str, Callable[..., AdapterOptions]] = {
    "lora": lora,
    "dora": dora,
    "rslora": rslora,
    "pissa": pissa,
    "vera": lambda **options: vera(**{"r": 16, **options}),
    "ia3": ia3,
}
Make = Callable[..., tuple[Blearner, HFObjects]]


class Thawed(Callback):
    """Notes which weights of the base ask for a gradient in any step."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def before_step(self) -> None:
        named = self.learn.model.hf_model.named_parameters()
        fixed = self.learn.model.fixed
        self.names |= {name for name, p in named if name in fixed and (p.requires_grad or p.grad is not None)}


@pytest.fixture
def make(reviews: pd.DataFrame, tiny_bert: Path, tmp_path: Path) -> Make:
    """Return a learner of an adapter on the tiny BERT, and its objects; without options, one of all weights."""

    def learner(options: AdapterOptions | None, *, cbs: Any = (), **given: Any) -> tuple[Blearner, HFObjects]:
        seed_everything(1)
        task = SequenceClassification()
        raw = from_data(task.schema, reviews)
        hf = loaded(task, raw, tiny_bert)
        hf = hf if options is None else with_adapter(hf, options, name=str(tiny_bert))
        dls = task.dataloaders(raw, hf, Loader(batch_size=8))
        learn = task.learner(dls, hf, raw=raw, metrics={}, cbs=[Thawed(), *cbs], path=tmp_path, **given)
        learn.remove_cbs([learn.progress])
        learn.logger = lambda *_: None
        return learn, hf

    return learner


def base_weights(hf: HFObjects) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in hf.model.named_parameters() if n in hf.adapter.fixed}


def assert_base_is(hf: HFObjects, before: dict[str, torch.Tensor]) -> None:
    after = base_weights(hf)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.tensor([[1, 13, 14, 15, 5, 2], [1, 13, 14, 15, 9, 2]])
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def saved_task(learn: Blearner) -> SavedTask:
    return SavedTask(learn.dls.train.task)


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_every_method_leaves_the_base_and_reloads_to_the_same_logits(kind: str, make: Make, tiny_bert, tmp_path):
    learn, hf = make(KINDS[kind]())
    before, head = base_weights(hf), hf.model.classifier.weight.detach().clone()
    learn.fit(1, lr=LR)
    assert_base_is(hf, before)
    assert not torch.equal(head, hf.model.classifier.weight)  # the head has a row for each label
    trained = {n: p.detach().clone() for n, p in hf.model.named_parameters()}
    expected = logits(hf.model)

    save_model(tmp_path / "whole", saved_task(learn), hf)
    save_adapter(tmp_path / "adapter", hf.adapter)
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(logits(whole), expected, atol=CLOSE, rtol=0)
    fresh = AutoModelForSequenceClassification.from_pretrained(tiny_bert)
    with adapted.calling_peft(fresh):
        beside = PeftModel.from_pretrained(fresh, tmp_path / "adapter")
    torch.testing.assert_close(logits(beside), expected, atol=CLOSE, rtol=0)
    assert all(torch.equal(p, trained[n]) for n, p in hf.model.named_parameters())  # to be trained on


def test_an_adapter_that_is_saved_alone_is_predicted_with_as_the_whole(kind: str, make: Make, tmp_path):
    learn, hf = make(KINDS[kind](merge=False))
    learn.fit(1, lr=LR)
    save_model(tmp_path / "alone", saved_task(learn), hf)
    assert not (tmp_path / "alone" / "model.safetensors").exists()
    expected = logits(hf.model)
    predictor = Predictor.load(tmp_path / "alone")
    torch.testing.assert_close(logits(predictor.hf.model), expected, atol=CLOSE, rtol=0)
    assert [row["label"] for row in predictor.predict(["the film was good"])][0] in ("good", "bad")


@pytest.mark.parametrize("schedule", sorted(paths.options("schedule")))
def test_no_schedule_trains_a_weight_of_the_base(schedule: str, make: Make):
    learn, hf = make(lora())
    before = base_weights(hf)
    short = ["schedule.epochs=1", *(["schedule.final_epochs=1"] if schedule == "gradual_unfreezing" else [])]
    cfg = composing.compose([f"schedule={schedule}", *short])
    build(cfg.schedule)(learn, LR)
    assert not learn.thawed.names
    assert_base_is(hf, before)


def test_freezing_trains_the_head_alone_and_thawing_the_adapter_again(make: Make):
    learn, hf = make(lora(r=4))
    trained = lambda: sum(p.numel() for p in learn.model.parameters() if p.requires_grad)  # noqa: E731
    everything = trained()
    assert everything == hf.adapter.trained
    learn.freeze()
    assert trained() == sum(p.numel() for p in hf.model.classifier.parameters())
    learn.unfreeze()
    assert trained() == everything
    learn.fine_tune(1, base_lr=LR)
    assert not learn.thawed.names


def test_an_adapter_that_somebody_else_has_attached_keeps_its_base(make: Make):
    plain, hf = make(None)
    with adapted.calling_peft(hf.model):
        beside = get_peft_model(hf.model, LoraConfig(target_modules=["query"], modules_to_save=["classifier"]))
    with pytest.raises(InputError, match=r"Give model.get_base_model\(\), or let blurr attach it"):
        Blearner(plain.dls, beside)
    count = sum(p.numel() for p in hf.model.parameters() if p.requires_grad)
    for _ in range(2):  # the second one finds what the first has frozen
        learn = Blearner(plain.dls, beside.get_base_model())
        learn.freeze()
        learn.unfreeze()
        assert sum(p.numel() for p in learn.model.parameters() if p.requires_grad) == count
        learn.freeze()


def test_groups_of_an_adapter_have_each_trained_weight_once_and_none_of_the_base(make: Make):
    learn, hf = make(lora())
    grouped = [id(p) for group in blurr_splitter(learn.model) for p in group]
    assert sorted(grouped) == sorted(id(p) for n, p in hf.model.named_parameters() if n not in hf.adapter.fixed)


@pytest.mark.parametrize(
    "cbs",
    [[EMA()], [GradientAccumulation(2)], [GradientCheckpointing()], [BFloat16()], [SaveBest()]],
    ids=lambda cbs: type(cbs[0]).__name__,
)
def test_callbacks_work_beside_an_adapter(cbs: list[Callback], make: Make):
    learn, hf = make(lora(dropout=0.1), cbs=cbs)
    before = base_weights(hf)
    learn.fit(2, lr=LR)
    assert not learn.thawed.names
    assert_base_is(hf, before)


def test_checkpointed_gradients_are_the_same(make: Make):
    ways = [make(lora(), cbs=cbs) for cbs in ([], [GradientCheckpointing()])]
    for learn, _ in ways:
        seed_everything(2)
        learn.fit(1, lr=LR)
    (_, plain), (_, again) = ways
    torch.testing.assert_close(logits(again.model), logits(plain.model), atol=CLOSE, rtol=0)


def test_the_best_weights_are_those_that_are_trained_alone(make: Make, tmp_path):
    learn, hf = make(lora(), cbs=[SaveBest()])
    learn.fit(2, lr=LR)
    kept = torch.load(tmp_path / "models" / "best.pth", weights_only=True)
    assert sum(value.numel() for value in kept.values()) < 2 * hf.adapter.trained
    assert not any("base_layer" in name for name in kept)


def test_features_of_a_body_with_an_adapter_are_not_kept(make: Make):
    learn, _ = make(lora(), cbs=[CacheFrozenFeatures()])
    learn.freeze()
    with pytest.raises(InputError, match="an adapter changes that body"):
        learn.fit(1)


@pytest.mark.parametrize("compact", [True, False], ids=["compact", "whole"])
def test_an_embedding_that_is_trained_beside_an_adapter_may_be_compact(compact: bool, make: Make, wide_bert: Path):
    seed_everything(1)
    learn, hf = make(lora(train=["word_embeddings"]), compact_embeddings=compact)
    assert "bert.embeddings.word_embeddings.weight" in hf.adapter.full
    torch.manual_seed(0)
    learn.fit(1, lr=LR)
    weight = hf.model.get_input_embeddings().weight.detach()
    assert weight.shape == (hf.config.vocab_size, hf.config.hidden_size)
    WEIGHTS.setdefault("embedding", weight.clone())
    torch.testing.assert_close(weight, WEIGHTS["embedding"], atol=CLOSE, rtol=0)


WEIGHTS: dict[str, torch.Tensor] = {}  # of the other way


def test_a_new_head_is_known_by_what_the_checkpoint_lacks(reviews: pd.DataFrame, tiny_bert: Path):
    rows = reviews.assign(label=[f"class {i % 3}" for i in range(len(reviews))])
    task = SequenceClassification()
    raw = from_data(task.schema, rows)
    hf = with_adapter(loaded(task, raw, tiny_bert), lora(), name=str(tiny_bert))
    assert hf.adapter.full == {"classifier.weight", "classifier.bias"}
    assert str(hf.adapter).startswith("lora, ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (lora(targets=["querry"]), r"no layer 'querry'.*Did you mean 'query'.*dense, key, query, value"),
        (lora(train=["nonsense"]), r"'nonsense' is in the name of no weight"),
        (vera(targets="LayerNorm"), r"adapter.targets: .* no layer 'LayerNorm' that adapter=vera can adapt"),
    ],
    ids=["targets", "train", "kind"],
)
def test_names_that_the_model_has_not_are_refused(options, said: str, make: Make):
    with pytest.raises(InputError, match=said):
        make(options)


def test_targets_are_ends_of_names(make: Make):
    _, hf = make(lora(targets=["query", "attention.output.dense"]))
    assert set(hf.adapter.peft.targeted_module_names) == {
        f"bert.encoder.layer.{i}.attention.{name}" for i in range(2) for name in ("self.query", "output.dense")
    }


def test_without_peft_the_extra_is_named(make: Make, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(InputError, match=r"adapter needs the library peft: pip install 'blurr-transformers\[peft\]'"):
        make(lora())


def test_an_adapter_learns_ten_times_as_fast_where_no_rate_is_asked_for(make: Make):
    _, hf = make(lora())
    for name in ("one_cycle", "fine_tune", "gradual_unfreezing"):
        schedule = build(composing.compose([f"schedule={name}"]).schedule)
        usual, rate = (
            default_rate(schedule, weights="pretrained", config=hf.config, has_adapter=has).rate
            for has in (False, True)
        )
        assert rate == (pytest.approx(10 * usual) if name == "one_cycle" else slice(5e-4, 2e-3))


def test_a_base_that_has_moved_or_changed_is_refused(make: Make, tiny_bert: Path, tmp_path: Path, monkeypatch):
    learn, hf = make(lora(merge=False))
    save_model(tmp_path / "alone", saved_task(learn), hf)
    text = (tmp_path / "alone" / "base.json").read_text()
    (tmp_path / "alone" / "base.json").write_text(text.replace(hf.adapter.base.checksum, "0" * 32))
    with pytest.raises(InputError, match="was trained on other weights than"):
        Predictor.load(tmp_path / "alone")
    (tmp_path / "alone" / "base.json").write_text(text.replace(str(tiny_bert), str(tmp_path / "gone")))
    with pytest.raises(InputError, match=r"holds an adapter alone, and its base cannot be had.*make a link"):
        Predictor.load(tmp_path / "alone")
    (tmp_path / "alone" / "base.json").write_text("{}")
    with pytest.raises(InputError, match="does not hold an adapter as blurr writes it"):
        Predictor.load(tmp_path / "alone")


@pytest.mark.filterwarnings("ignore:load_learner` uses Python's insecure pickle")
def test_an_exported_learner_reloads_to_the_same_logits(reviews: pd.DataFrame, tiny_bert: Path, tmp_path: Path):
    seed_everything(1)
    learn = BlearnerForSequenceClassification.from_data(reviews, tiny_bert, adapter=lora(r=4))
    learn.path = tmp_path
    with learn.no_bar(), learn.no_logging():
        learn.unfreeze()
        learn.fit(1, lr=LR)
    expected = logits(learn.model.hf_model)
    learn.export()
    again = load_learner(tmp_path / "export.pkl")
    assert torch.equal(logits(again.model.hf_model), expected)
    assert again.model.fixed == learn.model.fixed
    assert again.predict("the film was good")[0]["label"] == learn.predict("the film was good")[0]["label"]


@pytest.mark.slow
def test_a_compiled_model_trains_an_adapter(make: Make):
    learn, hf = make(lora(), cbs=[CompileModel()])
    before = base_weights(hf)
    learn.fit(1, lr=LR)
    assert_base_is(hf, before)


def test_layers_whose_weights_stand_in_two_places_get_no_adapter():
    config = GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config)
    assert not any("lm_head" in name for name in targets_of(model, "lora", "all-linear", ()))
    with pytest.raises(InputError, match="has no layer 'lm_head'"):
        targets_of(model, "lora", ["lm_head"], ())


def test_a_model_of_convolutions_gets_its_adapter_beside_them():
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}
    model = ResNetForImageClassification(ResNetConfig(**sizes))
    adapter = adapted.attach(model, lora(r=2), new=None)
    assert all("classifier" not in name for name in adapter.peft.targeted_module_names)
    assert {"classifier.1.weight", "classifier.1.bias"} == adapter.full
    with pytest.raises(InputError, match="adapter=vera finds no layer of ResNetForImageClassification"):
        adapted.attach(ResNetForImageClassification(ResNetConfig(**sizes)), vera(), new=None)
