"""What several networks are made of: layers in their usual order, and how weights begin."""

from torch import nn


def conv_norm_relu(in_channels: int, out_channels: int, stride: int = 1) -> list[nn.Module]:
    """(B, C_in, S, S) to (B, C_out, S / stride, S / stride).

    No bias: the BatchNorm that follows would subtract it again with the mean.
    """
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]


def pooled_linear(channels: int, num_classes: int) -> nn.Sequential:
    """The mean of each feature map (arXiv:1312.4400), then one linear layer: to (B, classes)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def kaiming_fan_out(model: nn.Module) -> None:
    """Draw every convolution's weights anew, in place, with variance 2 / (9 C_out) for a 3x3.

    So the gradient keeps its size on the way back through the ReLUs (arXiv:1502.01852).
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
