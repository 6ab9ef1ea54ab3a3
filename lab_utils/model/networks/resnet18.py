"""ResNet-18 of torchvision, adapted to small images, and its start from ImageNet weights."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models import ResNet18_Weights
from torchvision.models.resnet import BasicBlock, ResNet

from lab_utils import LabError


class ResNet18(ResNet):
    """The 18-layer residual network of He et al. 2015 (arXiv:1512.03385, table 1).

    torchvision's begins with a 7x7 convolution of stride 2 and a max-pooling, made for 224 pixels a
    side. Of 32 that would leave 8, so here it begins with a 3x3 of stride 1 and does not pool.
    """

    def __init__(self, num_classes: int = 10):
        super().__init__(BasicBlock, [2, 2, 2, 2], num_classes=num_classes)
        self.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.maxpool = nn.Identity()


def imagenet_file() -> Path:
    """Where torchvision keeps the ImageNet weights of ResNet-18, whether they are there or not."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(ResNet18_Weights.DEFAULT.url).name)


def load_imagenet(model: ResNet18) -> None:
    """Fill a ``ResNet18`` with ImageNet weights from torch's cache; nothing is downloaded.

    Of each 7x7 filter of the first convolution the 3x3 centre is taken: it keeps colour and
    direction of the edge, for which the next layers' weights were learned, and BatchNorm follows
    the change of scale. The last layer, of 1,000 other classes, is left as it is.

    Raises LabError where the file is missing or damaged.
    """
    path = imagenet_file()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state["conv1.weight"] = state["conv1.weight"][:, :, 2:5, 2:5]
        state |= {f"fc.{name}": value for name, value in model.fc.state_dict().items()}
        model.load_state_dict(state)
    except FileNotFoundError:
        raise LabError(
            f"The ImageNet weights are not in {path}: with a network connection, run python -c "
            "\"import torchvision; torchvision.models.resnet18(weights='DEFAULT')\" once, "
            "or set pretrained=false to train from scratch."
        ) from None
    except Exception as error:  # zip, pickle and torch raise many kinds for a damaged file
        kind = type(error).__name__
        raise LabError(f"{path} is damaged or of another network ({kind}); delete it.") from error
