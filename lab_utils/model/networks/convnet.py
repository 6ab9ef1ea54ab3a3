"""ConvNet: pairs of 3x3 convolutions, then global average pooling."""

from torch import Tensor, nn

from lab_utils.model.networks.blocks import conv_norm_relu, kaiming_fan_out


class ConvNet(nn.Module):
    """Three blocks of two 3x3 convolutions, the pattern of VGG (arXiv:1409.1556).

    The linear layers begin as PyTorch draws them: two are too few for a scale to get lost.
    """

    def __init__(self, num_classes: int = 10):
        super().__init__()
        layers = []
        for before, after in ((3, 32), (32, 64), (64, 128)):
            layers += conv_norm_relu(before, after) + conv_norm_relu(after, after)
            layers += [nn.MaxPool2d(2), nn.Dropout2d(0.25)]
        self.features = nn.Sequential(*layers)
        pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        hidden = nn.Linear(128, 256), nn.ReLU(), nn.Dropout(0.3)
        self.classifier = nn.Sequential(*pooled, *hidden, nn.Linear(256, num_classes))
        kaiming_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
