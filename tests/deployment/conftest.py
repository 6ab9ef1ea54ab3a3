"""What the tests of deployment share: a small checkpoint and what is made of it."""

import contextlib
from dataclasses import replace
import io
import warnings

from exports import export_all
import numpy as np
from PIL import Image
import pytest
import torch

from lab_utils.data.dataset import channel_statistics
from lab_utils.deployment.engine import Engine
from lab_utils.deployment.pixel_model import load_pixel_model
from lab_utils.model import networks
from lab_utils.training.checkpoints import Best, save_best

CLASSES = ("ant", "bee", "cow", "dog")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A best.pt of an untrained SimpleCNN, with BatchNorm statistics that do something."""
    torch.manual_seed(0)
    model = networks.build("simplecnn", num_classes=4)
    model(torch.randn(64, 3, 32, 32))
    path = tmp_path_factory.mktemp("run") / "checkpoints" / "best.pt"
    images = torch.randint(256, (60, 3, 32, 32), dtype=torch.uint8)
    normalization = channel_statistics(images)
    save_best(path, model, Best("simplecnn", {}, 32, CLASSES, normalization, 3, 0.25))
    return path


@pytest.fixture(scope="module")
def exported(checkpoint):
    """The calibrated model, its files by format, and what was said while they were made."""
    model, about = load_pixel_model(checkpoint)
    about = replace(about, temperature=0.5, threshold=0.3, run="ants", commit="abc", card="# Ants")
    model.temperature.fill_(about.temperature)
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        warnings.catch_warnings(record=True) as warned,
    ):
        files = export_all(model, about, checkpoint.parent.parent / "exports")
    loud = [w for w in warned if not issubclass(w.category, DeprecationWarning)]
    return model, about, files, said.getvalue() + "".join(str(w.message) for w in loud)


@pytest.fixture(scope="module")
def engine(checkpoint):
    return Engine(checkpoint)


@pytest.fixture(scope="session")
def picture():
    """A smooth colour picture (80, 60, 3) uint8, which survives resizing."""
    small = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((60, 80)))


@pytest.fixture(scope="session")
def pixels():
    """Makes ``count`` images of noise, (count, 3, 32, 32) float32 in 0..1, always the same."""
    return lambda count: torch.rand(
        count, 3, 32, 32, generator=torch.Generator().manual_seed(count)
    )
