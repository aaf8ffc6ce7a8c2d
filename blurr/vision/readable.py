"""Which architectures can learn classes from the pixels of pictures."""

from typing import Any

from blurr.errors import InputError

REASONS = {  # architecture to what keeps it from learning
    "imagegpt": "it reads a picture as a text of colour numbers, not as pixels",
    "siglip2": "it reads lists of patches, of pictures of any proportions; the SigLIP 2 checkpoints of one size, such "
    "as google/siglip2-base-patch16-224, are of the architecture siglip, which can",
    "shieldgemma2": "it answers questions about a picture with yes or no, and has no classes to learn",
}


def check_readable(config: Any) -> None:
    """Refuse an architecture that cannot learn classes from pixels, before anything is decoded.

    Raises:
        InputError: names the reason.
    """
    if config.model_type in REASONS:
        raise InputError(
            f"The architecture {config.model_type} cannot classify pictures here: {REASONS[config.model_type]}. "
            "Choose a model such as resnet or vit."
        )
