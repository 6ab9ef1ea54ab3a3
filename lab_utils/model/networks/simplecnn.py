"""SimpleCNN, the network of the case study."""

from torch import Tensor, nn


class SimpleCNN(nn.Module):
    """Three convolution blocks, then two fully connected layers: the network of the case study."""

    def __init__(self, num_classes: int = 10, image_size: int = 32):
        super().__init__()
        layers = []
        # 3 x 32 x 32 -> 32 x 16 x 16 -> 64 x 8 x 8 -> 128 x 4 x 4
        for before, after in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(before, after, kernel_size=3, padding=1), nn.BatchNorm2d(after)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        side = image_size // 8  # three poolings, each halves the side and rounds down
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * side * side, 256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, num_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images))
