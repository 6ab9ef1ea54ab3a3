"""The model that is handed on: pixels in, calibrated logits out; and what its users must know."""

from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter
import torch
from torch import Tensor, nn

from lab_utils.core.run import Run
from lab_utils.data.dataset import Normalization
from lab_utils.deployment import PRECISION
from lab_utils.model import networks
from lab_utils.training.checkpoints import load_best


@dataclass(frozen=True)
class About:
    """What every export carries beside the graph: what goes in, what comes out, whose it is.

    Mean, std and temperature are part of the graph already and are told for whoever wonders.
    """

    classes: tuple[str, ...]  # in the order of the logits
    image_size: Annotated[int, Field(ge=1, le=10**5)]  # pixels a side
    mean: tuple[float, ...]  # of red, green and blue, as fractions of 1
    std: tuple[float, ...]
    temperature: float  # the logits are divided by it
    # Of the confidence; None where none was found, and nothing is sure.
    threshold: Annotated[float, Field(ge=0, le=1)] | None
    precision: float  # share of the sure answers that is right, on the validation images
    model: str  # as in settings
    options: dict[str, Any]  # for networks.build
    run: str
    commit: str | None  # of the lab, at the training
    checkpoint: str  # the first 16 hexadecimal digits of the SHA-256 of best.pt
    card: str = ""  # the model card, Markdown

    def texts(self) -> dict[str, str]:
        """JSON by field, as a file's metadata: ``json.loads(metadata["classes"])`` reads it."""
        return {name: json.dumps(value) for name, value in asdict(self).items()}

    @classmethod
    def of_texts(cls, texts: dict[str, str]) -> Self:
        """What ``texts`` gave; ValueError where something is missing."""
        known = {name: json.loads(texts[name]) for name in cls.__annotations__ if name in texts}
        about = TypeAdapter(cls).validate_python(known)
        if len({*about.classes}) < len(about.classes):
            raise ValueError("a class is there twice")
        return about

    def network(self) -> nn.Module:
        """A fresh network of this kind."""
        return networks.build(self.model, len(self.classes), self.image_size, **self.options)


class PixelModel(nn.Module):
    """A network with what belongs to it: pixels as fractions of 1 in, calibrated logits out.

    Who runs an exported file cannot normalise with the wrong constants, and the softmax of its
    output is the probability, without a word about temperatures.
    """

    def __init__(self, network: nn.Module, normalization: Normalization, temperature: float = 1):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(normalization.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(normalization.std).view(-1, 1, 1))
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) float32 in 0..1 to logits (B, K)."""
        inputs = (pixels - self.mean) / self.std
        # With the channels last in memory, pooling takes a fraction of the time on a CPU.
        logits = self.network(inputs.contiguous(memory_format=torch.channels_last))
        return logits / self.temperature


def load_pixel_model(checkpoint: Path) -> tuple[PixelModel, About]:
    """The model of ``best.pt``, not calibrated yet, and what is known of it.

    Where the file lies in a run folder, the run's name and commit are told.
    Raises LabError where the file is missing or damaged.
    """
    network, best = load_best(checkpoint)
    folder, name, commit = checkpoint.parent.parent, "", None
    if (folder / "settings.yaml").is_file():
        run = Run.open(folder)
        name, commit = run.name, run.manifest.get("04_training", {}).get("git_commit")
    about = About(
        classes=best.classes,
        image_size=best.image_size,
        mean=best.normalization.mean,
        std=best.normalization.std,
        temperature=1.0,
        threshold=None,
        precision=PRECISION,
        model=best.model_name,
        options=best.model_options,
        run=name,
        commit=commit,
        checkpoint=fingerprint(checkpoint),
    )
    return PixelModel(network, best.normalization).eval(), about


def fingerprint(file: Path) -> str:
    """The first 16 hexadecimal digits of the file's SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def choose_threshold(logits: Tensor, targets: Tensor, precision: float = PRECISION) -> float | None:
    """The lowest confidence from which on a share ``precision`` of the answers is right.

    From logits (N, K) and targets (N,) of validation images. None where not even the surest
    answers reach it.
    """
    confidence, answers = logits.double().softmax(1).max(1)
    confidence, order = confidence.sort(descending=True, stable=True)
    right = (answers == targets)[order].cumsum(0)  # of the k surest, for each k
    shares = right.double() / torch.arange(1, len(right) + 1)
    # Answers of the same confidence are sure together or not at all.
    last_of_equals = torch.ones(len(right), dtype=torch.bool)
    last_of_equals[:-1] = confidence[1:] < confidence[:-1]
    enough = confidence[last_of_equals & (shares >= precision)]
    return enough[-1].item() if len(enough) else None
