"""The networks of the lab, in plain PyTorch: ``build("simplecnn")`` makes one by name.

Each takes images (B, 3, S, S), float32, normalised, and returns logits (B, ``num_classes``) in the
dtype it computes in (bfloat16 under autocast); ``S`` is ``image_size``, in pixels.
Parameters with the defaults: simplecnn 620,810; compactnet 201,802, its twin compactnet_standard
574,890; convnet 323,050; resnet20 269,722; resnet18 11,173,962.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from lab_utils import LabError
from lab_utils.model.networks.compactnet import CompactNet
from lab_utils.model.networks.convnet import ConvNet
from lab_utils.model.networks.resnet18 import ResNet18
from lab_utils.model.networks.resnet20 import ResNet20
from lab_utils.model.networks.simplecnn import SimpleCNN
from lab_utils.model.networks.speednet import SpeedNet

MODELS: dict[str, Callable[..., nn.Module]] = {
    "simplecnn": SimpleCNN,
    "compactnet": CompactNet,
    "compactnet_standard": partial(CompactNet, separable=False),
    "convnet": ConvNet,
    "resnet20": ResNet20,
    "resnet18": ResNet18,
    "speednet": SpeedNet,
}


def build(name: str, num_classes: int = 10, image_size: int = 32, **options: object) -> nn.Module:
    """The network ``name`` of ``MODELS``, freshly initialised from torch's global random state.

    ``num_classes`` is the number of logits, ``image_size`` the side of the square images in pixels,
    ``options`` what the class takes besides.
    Raises LabError for an unknown name and for an image size that the network cannot take.
    """
    if name not in MODELS:
        raise LabError(f"No model {name!r}; choose one of: {', '.join(MODELS)}.")
    if image_size < 8:
        raise LabError(f"{name} needs images of 8 or more pixels a side, not {image_size}.")
    if name == "simplecnn":  # the only one without global pooling: its linear layer fixes the size
        if image_size % 8:
            near = image_size - image_size % 8
            raise LabError(
                f"simplecnn halves the image three times and cannot take image_size={image_size}; "
                f"choose a multiple of 8, such as {near} or {near + 8}."
            )
        return SimpleCNN(num_classes, image_size)
    return MODELS[name](num_classes=num_classes, **options)
