"""Train on rows with a box of another row in them, and on losses mixed by its size."""

import torch

from blurr.config.annotations import Positive
from blurr.loading.draws import inside_box
from blurr.training.callbacks.mixup import Mixing

MOST_DIMENSIONS = 2  # of a box: the last ones of the inputs, height and width of pictures


class Cutmix(Mixing):
    """Put a box of another row into each row, Yun et al. 2019, arXiv:1905.04899; see `Mixing`.

    The box has the same place in all rows of a batch. The share of a loss is that of the positions that are left.
    """

    def __init__(self, alpha: Positive = 1.0) -> None:
        super().__init__(alpha)

    def mix(self, x: torch.Tensor, other: torch.Tensor, drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes = x.shape[1:][-MOST_DIMENSIONS:]
        side = (1 - self.share(drawn[1])) ** (1 / len(sizes))
        middle = drawn[2 : 2 + len(sizes)]  # the border may cut the box
        box = inside_box(sizes, (middle - side / 2)[None], (middle + side / 2)[None])[0]
        return torch.where(box, other, x), 1 - box.float().mean()
