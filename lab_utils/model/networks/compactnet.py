"""CompactNet, made for small size: depthwise-separable convolutions and residual blocks."""

from torch import Tensor, nn

from lab_utils.model.networks.blocks import pooled_linear


class CompactBlock(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, dropout: (B, C_in, S, S) to (B, C_out, S, S).

    ``separable``: a 3x3 filter per channel, then a 1x1 mix of the channels; 9 C_in + C_in C_out
    weights instead of 9 C_in C_out (MobileNets, arXiv:1704.04861). Nothing stands between the two,
    as in Xception (arXiv:1610.02357): together they are one convolution in two factors.
    ``dilation=2`` spreads the 3x3 filter over 5x5 pixels (arXiv:1511.07122). Where C_in = C_out the
    input is added to the output (residual learning, arXiv:1512.03385).
    """

    def __init__(self, in_channels: int, out_channels: int, separable: bool, dilation: int = 1):
        super().__init__()
        # No bias: the BatchNorm that follows would subtract it again with the mean.
        options = {"kernel_size": 3, "padding": dilation, "dilation": dilation, "bias": False}
        if separable:
            depthwise = nn.Conv2d(in_channels, in_channels, groups=in_channels, **options)
            pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.conv = nn.Sequential(depthwise, pointwise)
        else:
            self.conv = nn.Conv2d(in_channels, out_channels, **options)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU()
        # Whole channels: neighbouring pixels say the same, so hiding single ones hides little
        # (arXiv:1411.4280), and on a CPU one random number per pixel costs a third of a step.
        self.dropout = nn.Dropout2d(0.03)
        self.residual = in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.dropout(self.activation(self.norm(self.conv(x))))
        return x + out if self.residual else out


class CompactNet(nn.Module):
    """Depthwise-separable blocks, one dilated block and a standard last one; fully convolutional.

    With ``separable=False`` all convolutions are standard. The first always is: of three colours,
    filters for one at a time would leave it little to see. The dilated block stands before the last
    pooling: of the 4x4 pixels after it, its 5x5 would mostly see the border. Pooling halves the
    side, not strides, because the backward pass of a strided depthwise convolution is slow on a CPU
    (PyTorch 2.14, bfloat16: eight times a standard one's).
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
        self.classifier = pooled_linear(128, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
