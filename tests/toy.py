"""A data set of three classes that a network learns in a few steps, and who watches a training."""

import torch

from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Dataset, Normalization, Split
from lab_utils.setup.hardware import Machine
from lab_utils.training.fit import fit
from lab_utils.training.loop import Training

HALF = Normalization((0.5,) * 3, (0.25,) * 3)
CPU = Machine(torch.device("cpu"), "a test", torch.float32, "a test")


def toy(count, seed):
    """Images of 3 classes that differ in brightness: a network learns them in a few steps."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    noise = torch.randint(60, (count, 3, 16, 16), generator=generator)
    return Split((noise + 70 * targets.view(-1, 1, 1, 1)).to(torch.uint8), targets)


class Watch:
    """Told of each step and epoch, in place of what shows them."""

    def __init__(self, step=None, epoch=None):
        self.step = step or (lambda step, loss: None)
        self.epoch = epoch or (lambda history: None)
        self.notice = lambda text: None


def train(folder, dataset, settings, **told):
    training = Training(settings, dataset, CPU)
    history = fit(training, folder, progress=Watch(**told))
    return training.model.state_dict(), history


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def without_times(history):
    times = ("seconds", "images_per_second", "threads")
    return [{k: v for k, v in row._asdict().items() if k not in times} for row in history]


def flat(model, kind="parameters"):
    return torch.cat([p.detach().flatten() for p in getattr(model, kind)()])


def still_batches(count=70, batch_size=8, classes=3):
    """Images without augmentation in a random order that is the same each time."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(count) % classes)
    return Batches(split, batch_size, HALF, generator=generator)


def small_net(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    )


def toy_dataset():
    """102 training and 30 validation images."""
    return Dataset("toy", "Toy", "a test", "none", ("a", "b", "c"), toy(102, 0), toy(30, 1), "0")
