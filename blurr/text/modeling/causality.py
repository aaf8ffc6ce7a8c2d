"""Find out whether a model looks at the tokens that it is to predict."""

import torch

from blurr.errors import InputError
from blurr.text.hf_objects import HFObjects


def check_causal(hf: HFObjects) -> None:
    """Refuse a model whose logits for a token change with the tokens after it: it would copy, and learn nothing.

    XLM and XLNet have a head for language modelling, but read in both directions, and predict a token from itself.

    Raises:
        InputError: the model is such a one.
    """
    ids = torch.arange(8, device=hf.model.device)[None] % len(hf.tokenizer)
    other = ids.clone()
    other[0, -1] = 0
    was_training = hf.model.training
    hf.model.train(False)
    with torch.no_grad():
        before, after = (hf.model(input_ids=x).logits[0, :-1] for x in (ids, other))
    hf.model.train(was_training)
    if not torch.allclose(before, after, rtol=0, atol=1e-6):  # what is masked has no weight at all
        raise InputError(
            f"{hf.arch} reads the tokens that it is to predict, so it cannot learn to go on with texts. Choose a "
            "model that reads from left to right, such as model=gpt2, or task=masked_lm."
        )
