"""ResNet-20, the residual network made for images of 32 pixels a side."""

from torch import Tensor, nn

from lab_utils.model.networks.blocks import conv_norm_relu, kaiming_fan_out, pooled_linear


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters, option A of arXiv:1512.03385.

    (B, C_in, S, S) to (B, C_out, S / stride, S / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.body = nn.Sequential(
            *conv_norm_relu(in_channels, out_channels, stride),
            *conv_norm_relu(out_channels, out_channels)[:-1],  # the last ReLU follows the sum
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
        blocks = []
        for before, after in ((16, 16), (16, 32), (32, 64)):
            blocks.append(ResidualBlock(before, after, stride=after // before))
            blocks += [ResidualBlock(after, after) for _ in range(2)]
        self.features = nn.Sequential(*conv_norm_relu(3, 16), *blocks)
        self.classifier = pooled_linear(64, num_classes)
        kaiming_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
