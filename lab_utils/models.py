"""The networks of the lab, in plain PyTorch: ``build("simplecnn")`` makes one by name.

Each takes images (B, 3, S, S), float32, normalised, and returns logits (B, ``num_classes``) in the
dtype it computes in (bfloat16 under autocast); ``S`` is ``image_size``, in pixels.
Parameters with the defaults: simplecnn 620,810; compactnet 201,802, its twin compactnet_standard
574,890; convnet 323,050; resnet20 269,722.
"""

from collections.abc import Callable
from functools import partial

from lab_utils import LabError
from lab_utils.speednet import SpeedNet
from torch import Tensor, nn


class SimpleCNN(nn.Module):
    """Three convolution blocks, then two fully connected layers: the network of the case study."""

    def __init__(self, num_classes: int = 10, image_size: int = 32):
        super().__init__()
        self.features = nn.Sequential(
            # Block 1: 3 x 32 x 32 -> 32 x 16 x 16
            nn.Conv2d(3, 32, kernel_size=3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            # Block 2: 32 x 16 x 16 -> 64 x 8 x 8
            nn.Conv2d(32, 64, kernel_size=3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            # Block 3: 64 x 8 x 8 -> 128 x 4 x 4
            nn.Conv2d(64, 128, kernel_size=3, padding=1),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        side = image_size // 8  # three poolings, each halves the side
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * side * side, 256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


def conv3x3(in_channels: int, out_channels: int, separable: bool, dilation: int = 1) -> nn.Module:
    """A 3x3 convolution, (B, C_in, S, S) to (B, C_out, S, S), standard or depthwise-separable.

    Separable: a 3x3 filter per channel, then a 1x1 mix of the channels; 9 C_in + C_in C_out weights
    instead of 9 C_in C_out (MobileNets, arXiv:1704.04861). Nothing stands between the two, as in
    Xception (arXiv:1610.02357): together they are one convolution in two factors.
    """
    # No bias: the BatchNorm that follows would subtract it again with the mean.
    options = {"kernel_size": 3, "padding": dilation, "dilation": dilation, "bias": False}
    if not separable:
        return nn.Conv2d(in_channels, out_channels, **options)
    depthwise = nn.Conv2d(in_channels, in_channels, groups=in_channels, **options)
    return nn.Sequential(depthwise, nn.Conv2d(in_channels, out_channels, 1, bias=False))


class CompactBlock(nn.Module):
    """Convolution, BatchNorm, ReLU, dropout: (B, C_in, S, S) to (B, C_out, S, S).

    Where C_in = C_out the input is added to the output (residual learning, arXiv:1512.03385).
    ``dilation=2`` spreads the 3x3 filter over 5x5 pixels (arXiv:1511.07122).
    """

    def __init__(self, in_channels: int, out_channels: int, separable: bool, dilation: int = 1):
        super().__init__()
        self.conv = conv3x3(in_channels, out_channels, separable, dilation)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU()
        # Whole channels: neighbouring pixels say the same, so hiding single ones hides little
        # (arXiv:1411.4280), and on a CPU one random number per pixel costs a third of a step.
        self.dropout = nn.Dropout2d(0.03)
        self.residual = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.dropout(self.activation(self.norm(self.conv(x))))
        return x + out if self.residual else out


def _pooled_linear(channels: int, num_classes: int) -> nn.Sequential:
    """The mean of each feature map (arXiv:1312.4400), then one linear layer: to (B, classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


class CompactNet(nn.Module):
    """Depthwise-separable blocks, one dilated block and a standard last one; fully convolutional.

    ``separable=False`` is its twin for comparison: the same network with a standard convolution in
    place of each separable one. The first block is standard in both: of three colours, filters for
    one at a time would leave it little to see. Pooling halves the side, not strides, because the
    backward pass of a strided depthwise convolution is slow on a CPU (PyTorch 2.14, bfloat16:
    eight times a standard one's).
    """

    def __init__(self, num_classes: int = 10, separable: bool = True):
        super().__init__()
        self.features = nn.Sequential(
            CompactBlock(3, 32, separable=False),
            nn.MaxPool2d(2),
            CompactBlock(32, 64, separable),
            CompactBlock(64, 64, separable),
            nn.MaxPool2d(2),
            CompactBlock(64, 128, separable),
            CompactBlock(128, 128, separable),
            CompactBlock(128, 128, separable, dilation=2),
            nn.MaxPool2d(2),
            CompactBlock(128, 128, separable=False),
        )
        self.classifier = _pooled_linear(128, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


def kaiming_fan_out(model: nn.Module) -> None:
    """Draw every convolution's weights anew, in place, with variance 2 / (9 C_out) for a 3x3.

    So the gradient keeps its size on the way back through the ReLUs (arXiv:1502.01852).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _conv_norm_relu(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    """(B, C_in, S, S) to (B, C_out, S / stride, S / stride)."""
    return [
        nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    ]


class ConvNet(nn.Module):
    """Three blocks of two 3x3 convolutions, the pattern of VGG (arXiv:1409.1556)."""

    def __init__(self, num_classes: int = 10):
        super().__init__()
        layers = []
        for before, after in ((3, 32), (32, 64), (64, 128)):
            layers += _conv_norm_relu(before, after) + _conv_norm_relu(after, after)
            layers += [nn.MaxPool2d(2), nn.Dropout2d(0.25)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(128, 256),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(256, num_classes),
        )
        kaiming_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters, option A of arXiv:1512.03385.

    (B, C_in, S, S) to (B, C_out, S / stride, S / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            *_conv_norm_relu(in_channels, out_channels, stride),
            *_conv_norm_relu(out_channels, out_channels)[:-1],  # the last ReLU follows the sum
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            # Option A: keep every second pixel (an average over one), fill new channels with zeros
            # (the padding of a 4-D tensor's last three dimensions, channels last in the list).
            padding = (0, 0, 0, 0, 0, out_channels - in_channels)
            self.shortcut = nn.Sequential(nn.AvgPool2d(1, stride), nn.ZeroPad3d(padding))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.body(x) + self.shortcut(x))


class ResNet20(nn.Module):
    """The 20-layer residual network for CIFAR-10 of He et al. 2015 (arXiv:1512.03385, 4.2)."""

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            *(ResidualBlock(16, 16) for _ in range(3)),
            ResidualBlock(16, 32, stride=2),
            *(ResidualBlock(32, 32) for _ in range(2)),
            ResidualBlock(32, 64, stride=2),
            *(ResidualBlock(64, 64) for _ in range(2)),
        )
        self.classifier = _pooled_linear(64, num_classes)
        kaiming_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))


MODELS: dict[str, Callable[..., nn.Module]] = {
    "simplecnn": SimpleCNN,
    "compactnet": CompactNet,
    "compactnet_standard": partial(CompactNet, separable=False),
    "convnet": ConvNet,
    "resnet20": ResNet20,
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
