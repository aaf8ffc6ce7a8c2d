"""Models with random weights, made in code for the rows of a task, and what holds for all of them."""

from typing import Any

from blurr.data.core import RawData
from blurr.models.groups import blurr_splitter
from blurr.models.heads import label_parameters
from blurr.models.objects import HFObjects, build_model
from blurr.tasks.base import Task


def from_scratch(task: Task, raw: RawData, arch: str, sizes: dict[str, Any], **options: Any) -> HFObjects:
    """Build a model of these sizes with random weights, for a task and its rows."""
    return build_model(
        "nowhere",
        model_cls=task.model_cls,
        inputs=task.inputs,
        config=task.target.model_config(raw),
        corpus=lambda: task.corpus(raw),
        load_weights=True,
        weights="scratch",
        arch=arch,
        scratch=sizes,
        **options,
    )


def check_groups(hf: HFObjects) -> None:
    """Check that each weight is in one group, and the head in the last one."""
    groups = blurr_splitter(hf.model)
    assert len(groups) >= 3
    assert len({id(p) for group in groups for p in group}) == len(list(hf.model.parameters()))
    heads = {id(p) for name, p in hf.model.named_parameters() if name in label_parameters(hf.model)}
    assert {id(p) for p in groups[-1]} >= heads
