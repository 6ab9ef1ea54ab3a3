"""The networks of the lab, one a file, in plain PyTorch: ``build("simplecnn")`` makes one by name.

Each takes images (B, 3, S, S), float32, normalised, and returns logits (B, ``num_classes``) in the
dtype it computes in (bfloat16 under autocast). A new one is a file here and a line in ``MODELS``.
"""

from importlib import import_module

from torch import nn

from lab_utils import LabError
from lab_utils.core.settings import MODELS


def build(name: str, num_classes: int = 10, image_size: int = 32, **options: object) -> nn.Module:
    """The network ``name`` of ``MODELS``, freshly initialised from torch's global random state.

    ``num_classes`` is the number of logits, ``image_size`` the side of the square images in pixels,
    ``options`` what the class takes besides. Only the file of that network is imported.
    Raises LabError for an unknown name.
    """
    if name not in MODELS:
        raise LabError(f"No model {name!r}; choose one of: {', '.join(MODELS)}.")
    if name == "simplecnn":  # the only one without global pooling: its linear layer fixes the size
        options["image_size"] = image_size
    # The class of <name>.py has the same name but for capitals and underscores.
    found = vars(import_module(f"{__name__}.{name}")).items()
    network = next(value for key, value in found if key.lower() == name.replace("_", ""))
    return network(num_classes=num_classes, **options)
