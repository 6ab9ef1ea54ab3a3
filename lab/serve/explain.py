"""Where the network looked, as a picture and in words."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
import torch
from torchvision.transforms.functional import pil_to_tensor

from lab_utils.data.batches import normalize
from lab_utils.insight.gradcam import grad_cam
from lab_utils.training.checkpoints import load_best

_PLACES = (
    "at the upper left", "at the top", "at the upper right", "at the left", "in the middle",
    "at the right", "at the lower left", "at the bottom", "at the lower right",
)  # fmt: skip


class Explainer:
    """Grad-CAM with the network of ``best.pt``: an export does not hand out its feature maps."""

    def __init__(self, checkpoint: Path) -> None:
        self._network, self._best = load_best(checkpoint)

    def explain(self, picture: Image.Image, label: str) -> tuple[Image.Image, str]:
        """The heat of the class ``label`` over the grey ``picture``, and where it lies.

        ``picture`` is as the network sees it. Nothing else may compute meanwhile: to find the last
        feature layer, every module of the process is watched.
        """
        inputs = normalize(pil_to_tensor(picture)[None], self._best.normalization)
        wanted = torch.tensor([self._best.classes.index(label)])
        heat = grad_cam(self._network, inputs, wanted).heat[0].numpy()
        return _over_grey(heat, picture), _in_words(heat, label)


def _over_grey(heat: np.ndarray, picture: Image.Image) -> Image.Image:
    """``heat`` (H, W) in 0..1 as colours over the picture in grey, as in notebook 09."""
    colours = Image.fromarray((matplotlib.colormaps["inferno"](heat)[..., :3] * 255).astype("u1"))
    return Image.blend(picture.convert("L").convert("RGB"), colours, 0.6)


def _in_words(heat: np.ndarray, label: str) -> str:
    total = heat.sum()
    if total == 0:
        return f"Nothing in the last feature maps speaks for {label}."
    rows = [part.sum(0) for part in np.array_split(heat, 3)]
    ninths = np.array([[part.sum() for part in np.array_split(row, 3)] for row in rows]) / total
    share, place = ninths.max(), _PLACES[ninths.argmax()]
    strongest = f"The heat for {label} is strongest {place}"
    return f"{strongest}: {share:.0%} of it lies in that ninth of the picture."
