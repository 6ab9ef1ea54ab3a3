"""What the tests of networks share."""

import pytest
import torch

from lab_utils.core.settings import MODELS
from lab_utils.model.networks import build


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small tensors on shared cores: threads would spend the time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    torch.manual_seed(0)
    return build(request.param)
