"""Split the parameters of a model into groups, from its input to its output."""

from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedModel

from blurr.models.wrapper import BaseModelWrapper


def blurr_splitter(m: nn.Module) -> list[list[nn.Parameter]]:
    """Split a model into parameter groups: embeddings first, then the parts of the body in order, the head last.

    Works for any architecture, by its modules: a weight that two parts share belongs to the first of them.
    """
    hf_model = m.hf_model if isinstance(m, BaseModelWrapper) else m
    body = hf_model.base_model if isinstance(hf_model, PreTrainedModel) else hf_model
    embeddings = [x for name, x in body.named_modules() if isinstance(x, nn.Embedding) or name.endswith("embeddings")]
    parts: list[Iterable[nn.Module]] = [embeddings, *([child] for child in body.children()), [body], [hf_model]]
    groups, seen = [], set()
    for part in parts:
        group = []
        for parameter in (p for module in part for p in module.parameters()):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                group.append(parameter)
        if group:
            groups.append(group)
    return groups
