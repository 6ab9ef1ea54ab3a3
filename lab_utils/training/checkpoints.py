"""The checkpoints of a training: ``best.pt`` and ``last.pt``.

Checkpoints hold tensors and plain values only, and are read with ``weights_only=True``: a pickled
model could run any code when it is loaded.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
import zipfile

from pydantic import ConfigDict, Field, TypeAdapter
import torch
from torch import Tensor, nn

from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.data.dataset import Normalization
from lab_utils.model import networks


@dataclass(frozen=True)
class Best:
    """What ``best.pt`` holds beside the weights: all that inference needs."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    model_name: str  # as in settings
    model_options: dict[str, Any]  # for networks.build
    image_size: Annotated[int, Field(strict=True, ge=1, le=10**5)]  # pixels a side
    classes: tuple[str, ...]
    normalization: Normalization
    epoch: Annotated[int, Field(strict=True, ge=1)]  # of the weights; counted from 1
    val_accuracy: Annotated[float, Field(strict=True, ge=0, le=1 + 1e-6)]  # as a fraction of 1

    def build(self) -> nn.Module:
        """A fresh network of this kind."""
        size, options = self.image_size, self.model_options
        return networks.build(self.model_name, len(self.classes), size, **options)


def save_best(path: Path, model: nn.Module, best: Best) -> None:
    """Save the weights of ``model`` with what inference needs, atomically."""
    values = asdict(best) | {"model": model.state_dict(), "classes": list(best.classes)}
    values |= {"normalization": [list(channel) for channel in best.normalization]}
    write_atomic(path, lambda file: torch.save(values, file))


def load_best(path: Path) -> tuple[nn.Module, Best]:
    """The model with its best weights, in evaluation mode, and the rest; LabError if damaged."""
    values = load_checkpoint(path)
    try:
        weights = values.pop("model")
        best = TypeAdapter(Best).validate_python(values)
        mean, std = best.normalization
        if len({*best.classes}) < len(best.classes):
            raise ValueError("a class is there twice")
        if not len(mean) == len(std) == 3 or min(std) <= 0:
            raise ValueError("nothing to normalise three channels with")
        model = best.build()
        model.load_state_dict(weights)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    return model.eval(), best


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's dictionary, on the CPU; only tensors and plain values are read, never code.

    Raises LabError where the file is missing or damaged.
    """
    try:
        if not path.is_file():  # nor a pipe, which would be waited for
            raise FileNotFoundError(path)
        with zipfile.ZipFile(path) as archive:  # torch does not look at its checksums
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)
        values = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(values, dict):
            raise TypeError(type(values).__name__)
        return values
    except FileNotFoundError:
        raise LabError(f"{path} is missing: run 04_training first.") from None
    except Exception as error:  # zip, pickle and torch raise many kinds for a damaged file
        raise _damaged(path, error) from error


def epochs_done(path: Path) -> int:
    """How many epochs the ``last.pt`` at ``path`` has behind it; 0 where there is none."""
    return len(load_checkpoint(path).get("history", ())) if path.is_file() else 0


def _damaged(path: Path, error: Exception) -> LabError:
    kind = type(error).__name__
    return LabError(f"{path} is damaged ({kind}); delete it and run 04_training again.")


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """The state of every random generator that training on ``device`` draws from."""
    return {kind: _generator(kind).get_rng_state() for kind in {"cpu", device.type}}


def set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what ``rng_state`` gave; a device that the state does not know keeps its own."""
    for kind in state.keys() & {"cpu", device.type}:
        _generator(kind).set_rng_state(state[kind])


def _generator(kind: str) -> Any:
    return torch if kind == "cpu" else getattr(torch, kind)
