"""The trained model as an engine for pictures of any kind and size, on the CPU in float32."""

from collections.abc import Iterable
from dataclasses import dataclass
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from lab_utils import LabError
from lab_utils.data.dataset import Normalization
from lab_utils.training.checkpoints import Best, load_best

Picture = str | os.PathLike | Image.Image | np.ndarray | Tensor


class PixelModel(nn.Module):
    """A model with its normalisation in front: pixels as fractions of 1 in, logits out.

    Who runs an exported file then cannot normalise with the wrong constants.
    """

    def __init__(self, model: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(normalization.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(normalization.std).view(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        inputs = (pixels - self.mean) / self.std
        # With the channels last in memory, pooling takes a fraction of the time on a CPU.
        return self.model(inputs.contiguous(memory_format=torch.channels_last))


def load_pixel_model(checkpoint: Path) -> tuple[PixelModel, Best]:
    """The model of ``best.pt`` from pixels to logits, and what else it holds, as ``load_best``."""
    model, best = load_best(checkpoint)
    return PixelModel(model, best.normalization).eval(), best


@dataclass(frozen=True)
class Prediction:
    """The likeliest class of one image, its probability, and the probability of each class."""

    label: str
    confidence: float
    probabilities: dict[str, float]


class InferenceEngine:
    """Classifies pictures with nothing but ``best.pt``.

    A picture is a path, a PIL image, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or a
    tensor with the channels first; arrays and tensors are uint8, or floats in 0..1. Any size will
    do: the largest centred square is cut out and resized to what the model was trained on.
    Raises LabError for what is not a picture.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.model, best = load_pixel_model(checkpoint)
        self.classes = best.classes
        self.image_size = best.image_size

    def predict(self, image: Picture) -> Prediction:
        """The prediction for one picture."""
        return self.batch_predict([image])[0]

    @torch.inference_mode()
    def batch_predict(self, images: Iterable[Picture], batch_size: int = 64) -> list[Prediction]:
        """The predictions for several pictures, of any kinds and sizes, in their order."""
        if isinstance(images, str | os.PathLike | Image.Image):
            raise LabError("batch_predict takes several images; for a single one use predict.")
        size = (self.image_size, self.image_size)
        squares = [pil_to_tensor(ImageOps.fit(to_rgb(image), size)) for image in images]
        predictions = []
        for start in range(0, len(squares), batch_size):
            pixels = torch.stack(squares[start : start + batch_size]).float() / 255
            for row in self.model(pixels).double().softmax(1):
                probabilities = dict(zip(self.classes, row.tolist(), strict=True))
                label = self.classes[row.argmax()]
                predictions.append(Prediction(label, probabilities[label], probabilities))
        return predictions


def to_rgb(image: Picture) -> Image.Image:
    """Any picture as an upright 8-bit RGB image; LabError where that cannot be."""
    if isinstance(image, str | os.PathLike):
        try:
            with Image.open(image) as opened:
                opened.load()
                return to_rgb(opened)
        except FileNotFoundError:
            raise LabError(f"There is no file {image}; check the path.") from None
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            kind = type(error).__name__
            raise LabError(f"{image} cannot be read as an image ({kind}); try a PNG.") from None
    if isinstance(image, Image.Image):
        if image.mode.startswith(("I", "F")):
            raise LabError(f"The image has mode {image.mode}; convert it to 8 bits per channel.")
        return ImageOps.exif_transpose(image).convert("RGB")
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image
        image = image.movedim(0, -1).numpy() if image.ndim == 3 else image.numpy()
    return _from_array(image)


def _from_array(array: np.ndarray) -> Image.Image:
    if not isinstance(array, np.ndarray):
        kind = type(array).__name__
        raise LabError(f"{kind} is not an image; give a path, a PIL image, an array or a tensor.")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))) or not array.size:
        raise LabError(
            f"An image of shape {array.shape}, channels last, cannot be used; give (H, W) or 1, 3 "
            "or 4 channels, last in an array and first in a tensor."
        )
    if np.issubdtype(array.dtype, np.floating):
        if not ((array >= 0) & (array <= 1)).all():
            raise LabError("A float image holds values outside 0..1; divide bytes by 255 first.")
        array = (array * 255).round().astype(np.uint8)
    if array.dtype != np.uint8:
        raise LabError(f"An image of {array.dtype} cannot be used; give uint8, or floats in 0..1.")
    return Image.fromarray(array.squeeze(2) if array.shape[2:] == (1,) else array).convert("RGB")
