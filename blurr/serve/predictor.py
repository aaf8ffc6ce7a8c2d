"""Predict with a trained model of any task, as the learner does that has trained it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
import transformers
from datasets import DatasetDict
from fastai.data.core import DataLoaders

from blurr.data.core import RawData
from blurr.errors import InputError, nearest
from blurr.loading.lengths import fitting
from blurr.loading.loader import Loader
from blurr.models.objects import HFObjects, load_objects
from blurr.serve.graphs import MANIFEST, load_graphs
from blurr.serve.model_folder import check_model, is_model_folder, model_folder
from blurr.serve.untrained import load_untrained, task_of
from blurr.tasks.base import default_device
from blurr.tasks.saved import SavedTask, load_task

ROWS = 32  # in a batch
TOKENS = 2048  # in a batch on a CPU, where more make nothing faster, and pads cost as much as words
OF_8_BITS = 0.05  # share of the largest logit: a quantized graph rounds by the range of all that is in a batch
NO_ROWS = RawData(DatasetDict(), None, "a saved model")


class Predictor:
    """A trained model, ready to predict: in batches of similar length, long inputs in windows, without gradients.

    It is a learner without rows, so that whatever predicts in a notebook predicts here by the same code.

    Args:
        saved: the task, as its training has settled it.
        hf: tokenizer, config and model.
        batch_size: rows, or windows of rows, in a batch; `None`: 32, and on a CPU as many as make 2048 tokens.
        device: `cpu`, `cuda`, …; `None` takes the accelerator where there is one.
        folder: where the model comes from, if it comes from one.
    """

    def __init__(
        self,
        saved: SavedTask,
        hf: HFObjects,
        *,
        batch_size: int | None = None,
        device: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.saved, self.hf, self.batch_size, self.folder = saved, hf, batch_size or ROWS, folder
        task = saved.task
        place = default_device() if device is None else torch.device(device)
        tokens = TOKENS if batch_size is None and place.type == "cpu" else None
        loader = Loader(batch_size=self.batch_size, eval_batch_size=self.batch_size, max_tokens=tokens)
        dl = task.loader(task.inputs.rows_cls({}, task.target.vocab(hf)), hf, fitting(loader, hf.config), train=False)
        dls = DataLoaders(dl, dl, device=place)
        hf.model.to(place)  # type: ignore[arg-type]  # a decorator hides what `to` takes
        self.learner = task.learner(dls, hf, raw=NO_ROWS, metrics={})
        self.learner.model.eval()

    @classmethod
    def load(
        cls,
        where: str | Path,
        *,
        words: Sequence[str] = (),
        batch_size: int | None = None,
        device: str | None = None,
        trusted: Sequence[str] = (),
    ) -> Self:
        """Load the model of a run: no network, no config files and no pickle are needed; or any checkpoint.

        Args:
            where: the output folder of a run or its folder `model/`, one that `blurr export` has written, the id of an
                MLflow run, `runs:/<id>/model`, `models:/<name>/<version>` or `models:/<name>@<alias>`. With `words`, a
                folder that `save_pretrained` wrote, or a Hub id.
            words: the task of a checkpoint that no run of blurr has left, and its settings, such as
                `["task=summarization", "task.max_length=512"]`.
            batch_size: see `Predictor`, as for `device`.
            device: where the model runs.
            trusted: packages of your own that the model's file may name: all that they reach can then be called.

        Raises:
            InputError: there is no such model, or weights of it are missing.
        """
        if task_of(words) is not None and not is_model_folder(where):
            return cls(*load_untrained(where, words), batch_size=batch_size, device=device)
        folder = model_folder(where)
        check_model(folder)
        saved = load_task(folder, trusted=trusted)
        if (folder / MANIFEST).is_file():
            hf = load_graphs(folder, saved.task.model_cls)
            # ONNX Runtime's builds for accelerators are other packages
            predictor = cls(saved, hf, batch_size=batch_size, device="cpu", folder=folder)
            predictor.learner.model.rounding = OF_8_BITS
            return predictor
        # a tensor that is missing would be made anew, at random: here that is no fine-tuning but a broken folder; and
        # what blurr has trained runs in the type of numbers that it was trained and scored in
        model_cls = getattr(transformers, saved.task.model_cls)
        hf = load_objects(str(folder), model_cls, saved.task.inputs, dtype="stored", complete=True)
        return cls(saved, hf, batch_size=batch_size, device=device, folder=folder)

    @property
    def options(self) -> dict[str, type]:
        """What may be asked of a prediction besides, and the types of the values."""
        return dict(self.saved.task.target.options)

    @property
    def roles(self) -> tuple[str, ...]:
        """The fields of an item, such as `text`; see `Schema.inputs`."""
        return self.saved.task.schema.inputs

    @property
    def example(self) -> dict[str, Any]:
        """An item to predict on."""
        return self.saved.task.example(self.hf)

    def examples(self, n: int) -> list[dict[str, Any]]:
        """Give `n` items to predict on, the same ones each time."""
        return [self.saved.task.example(self.hf, seed) for seed in range(n)]

    def predict(self, items: Any, *, bs: int | None = None, **options: Any) -> list[Any]:
        """Predict one item or many.

        Args:
            items: a text, a dict by role, or what else the task reads; or a list, DataFrame, Series, Dataset of them.
            bs: rows in a batch; `None` takes the Predictor's.
            options: as `learn.predict` of the task takes them, see `options`.

        Returns:
            One result per item, with the fields that `learn.predict` gives.

        Raises:
            InputError: an item is not what the task reads, or an option is not.
        """
        result: list[Any] = self.learner.predict(items, bs=bs, **options)
        return result

    def predict_each(self, items: Sequence[Any], **options: Any) -> list[Any]:
        """Do as `predict` does for items of any kind, and give the InputError of a bad one in its place.

        Items that fill other roles, such as texts among pairs of texts, are predicted on apart.
        """
        results: list[Any] = [None] * len(items)
        alike: dict[frozenset[str], dict[int, Any]] = {}
        for place, item in enumerate(items):
            # a table has nothing in a column where a row lacks it
            filled = {k: v for k, v in item.items() if v is not None} if isinstance(item, Mapping) else item
            roles = filled.keys() & set(self.roles) if isinstance(filled, dict) else set(self.roles[:1])
            alike.setdefault(frozenset(roles), {})[place] = filled
        for part in alike.values():
            for place, result in zip(part, self._bisected(list(part.values()), options), strict=True):
                results[place] = result
        return results

    def _bisected(self, items: list[Any], options: dict[str, Any]) -> list[Any]:
        try:
            return self.predict(items, **options)
        except InputError as error:
            if len(items) == 1:
                return [error]
        half = len(items) // 2
        return self._bisected(items[:half], options) + self._bisected(items[half:], options)

    def check_options(self, options: dict[str, Any]) -> None:
        """Refuse an option that the task does not know.

        Raises:
            InputError: names what there is.
        """
        for name in options:
            if name not in self.options:
                raise InputError(
                    f"There is no option {name!r}.{nearest(name, self.options)} A prediction of this model takes "
                    f"{sorted(self.options) or 'none'}."
                )
