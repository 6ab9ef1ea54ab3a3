"""The checkpoints of a training: ``best.pt`` and ``last.pt``.

Checkpoints hold tensors and plain values only, and are read with ``weights_only=True``: a pickled
model could run any code when it is loaded.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset
from lab_utils.model import networks
from lab_utils.model.build import model_options
from lab_utils.training.history import Row


def save_best(path: Path, model: nn.Module, dataset: Dataset, settings: Settings, row: Row) -> None:
    """Save the weights with everything that inference needs beside them."""
    best = {
        "model": model.state_dict(),
        "model_name": settings.model,
        "model_options": model_options(settings),
        "image_size": dataset.train.images.shape[-1],
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "epoch": row["epoch"],
        "val_accuracy": row["val_accuracy"],
    }
    write_atomic(path, lambda file: torch.save(best, file))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's dictionary, on the CPU; only tensors and plain values are read, never code.

    Raises LabError where the file is missing or damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise LabError(f"{path} is missing: run 04_training first.") from None
    except Exception as error:  # zip, pickle and torch raise many kinds for a damaged file
        raise LabError(
            f"{path} is damaged ({type(error).__name__}); delete it and run 04_training again."
        ) from error


def load_best(path: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model with its best weights, in evaluation mode, and what else ``best.pt`` holds."""
    best = load_checkpoint(path)
    model = networks.build(
        best["model_name"], len(best["classes"]), best["image_size"], **best["model_options"]
    )
    model.load_state_dict(best.pop("model"))
    return model.eval(), best


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """The state of every random generator that training on ``device`` draws from."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state()
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what ``rng_state`` gave; a device that the state does not know keeps its own."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"])
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
