"""Small enough to train in a test."""

import pytest
import torch
from toy import toy_dataset

from lab_utils.core.settings import Settings


@pytest.fixture
def dataset():
    return toy_dataset()


@pytest.fixture
def settings():
    # 102 images in batches of 32: the last batch has 6.
    # The number of threads is fixed: beside a busy program another one might be chosen.
    recipe = {"batch_size": 32, "schedule": "one_cycle", "lr": 3e-3}
    return Settings(experiment="toy", epochs=3, threads=torch.get_num_threads(), **recipe)
