"""Where a network looks: Grad-CAM, and the feature maps that it is made of."""

from dataclasses import dataclass
import warnings

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from lab_utils import LabError

with warnings.catch_warnings(action="ignore"):  # tqdm's, in a notebook without ipywidgets
    from captum.attr import LayerGradCam


@torch.no_grad()
def last_feature_layer(model: nn.Module, inputs: Tensor) -> nn.Module:
    """The module of ``model`` whose output is the last feature map, as Grad-CAM wants it.

    That is the last module to finish whose output is as high and wide as the last convolution's:
    norm, activation and sum with a shortcut count, the pooling after them does not. ``inputs`` is
    (B, 3, H, W). Raises LabError for a model without a convolution.
    """
    finished: list[tuple[nn.Module, torch.Size]] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            finished.append((module, output.shape[2:]))

    hook = register_module_forward_hook(note)
    try:
        model(inputs[:1])
    finally:
        hook.remove()
    sizes = [size for module, size in finished if isinstance(module, nn.Conv2d)]
    if not sizes:
        raise LabError("Grad-CAM needs a network with an nn.Conv2d in it; this one has none.")
    return next(module for module, size in reversed(finished) if size == sizes[-1])


@dataclass(frozen=True)
class Look:
    """Where a network saw a class in B images, on the CPU.

    The sum of a map is about what it adds to the logit of the class.
    """

    heat: Tensor  # (B, H, W), from 0 to 1 within each image; 0 where nothing speaks for the class
    maps: Tensor  # (B, M, h, w): the maps that add most to the logit, times their weights

    @property
    def cells(self) -> tuple[int, int]:
        """Height and width of the maps: the heat has no finer detail."""
        return tuple(self.maps.shape[-2:])


def grad_cam(model: nn.Module, inputs: Tensor, classes: Tensor, count: int = 3) -> Look:
    """Grad-CAM (arXiv:1610.02391) of the logits of ``classes`` (B,) on the last feature maps.

    Each map is weighted by the mean gradient of the logit over its cells; heat is the part of their
    sum above zero. ``model`` is in evaluation mode, ``inputs`` is (B, 3, H, W), normalised;
    ``count`` is how many maps are returned. Raises LabError for a model without a convolution.
    """
    method = LayerGradCam(model, last_feature_layer(model, inputs))
    parts = zip(inputs.split(100), classes.to(inputs.device).split(100), strict=True)
    found = [method.attribute(x, target=k, attr_dim_summation=False).detach() for x, k in parts]
    weighted = torch.cat(found).cpu().float()
    cells = weighted.sum(1, keepdim=True).relu()
    heat = nn.functional.interpolate(cells, inputs.shape[-2:], mode="bilinear")[:, 0]
    heat = heat / heat.amax((1, 2), keepdim=True).clamp(min=1e-12)
    channels = weighted.sum((2, 3)).topk(min(count, weighted.shape[1])).indices
    return Look(heat, weighted[torch.arange(len(weighted))[:, None], channels])


def share_in_the_middle(look: Look) -> float | None:
    """Mean share of the heat in the central half of height and width.

    That is a quarter of the area: heat spread evenly gives 0.25. Images without heat do not count;
    None where there is no other, and where maps of fewer than 4 x 4 cells cannot tell.
    """
    height, width = look.heat.shape[1:]
    middle = look.heat[:, height // 4 : height - height // 4, width // 4 : width - width // 4]
    total = look.heat.sum((1, 2))
    if min(look.cells) < 4 or not total.any():
        return None
    return (middle.sum((1, 2)) / total)[total > 0].mean().item()
