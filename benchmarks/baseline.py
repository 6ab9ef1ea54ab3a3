"""The course's own recipe, faithfully: torchvision transforms in a DataLoader, float32, Adam.

Everything the lab's speed is compared with is in this file. ``python benchmarks/baseline.py ROOT``
trains an epoch for each line it reads (or as many batches as the line says) and answers with its
seconds: the course's recipe runs in a process of its own, whose threads and memory are as Python
starts them. The lab sets both, and that would make the course faster than it is.
"""

from itertools import islice
from pathlib import Path
import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import CIFAR10

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)
EPOCHS = 20  # of the course's case study, which ends at 79.84%


def loader(root: Path, workers: int, batch_size: int = 128) -> DataLoader:
    """The course's training DataLoader: PIL images, flip, padded crop, tensor, normalise."""
    transform = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.RandomCrop(32, padding=4),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    data = CIFAR10(root, train=True, transform=transform)
    return DataLoader(data, batch_size=batch_size, shuffle=True, num_workers=workers)


class SimpleCNN(nn.Module):
    """The course's network, written out: 620,810 parameters."""

    def __init__(self) -> None:
        super().__init__()
        blocks = []
        for before, after in ((3, 32), (32, 64), (64, 128)):
            blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after)]
            blocks += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Linear(128 * 4 * 4, 256), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(256, 10)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).flatten(1))


class Training:
    """SimpleCNN as the course trains it: float32, Adam 1e-3, StepLR(10, 0.1), 2 workers."""

    def __init__(self, root: Path) -> None:
        torch.manual_seed(42)
        self.loader = loader(root, workers=2)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = SimpleCNN().to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=10, gamma=0.1)

    def epoch(self, batches: int | None = None) -> None:
        """One epoch (or its first ``batches``) with the running loss and accuracy it prints."""
        criterion = nn.CrossEntropyLoss()
        self.model.train()
        loss_sum, correct, total = 0.0, 0, 0
        for inputs, targets in islice(self.loader, batches):
            inputs, targets = inputs.to(self.device), targets.to(self.device)
            self.optimizer.zero_grad()
            outputs = self.model(inputs)
            loss = criterion(outputs, targets)
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.item()
            total += targets.size(0)
            correct += (outputs.argmax(1) == targets).sum().item()
        self.schedule.step()


if __name__ == "__main__":
    training = Training(Path(sys.argv[1]))
    for line in sys.stdin:
        start = time.perf_counter()
        training.epoch(int(line) if line.strip().isdigit() else None)
        print(time.perf_counter() - start, flush=True)
