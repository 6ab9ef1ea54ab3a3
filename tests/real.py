"""The official CIFAR-10, where LAB_DATA_DIR names a folder that has it."""

import os

import pytest

from lab_utils.core.params import project_root

DATA = (project_root() / (os.environ.get("LAB_DATA_DIR") or "data")).resolve()
needs_cifar10 = pytest.mark.skipif(
    not (DATA / "cifar-10-batches-py").is_dir(), reason="LAB_DATA_DIR has no CIFAR-10"
)
