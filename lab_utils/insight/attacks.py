"""Damage on purpose: the worst that a small change of every pixel can do (FGSM and PGD).

Images are float32 in [0, 1], and so are strengths: of the image, not of the normalised input.
"""

from collections.abc import Callable
import warnings

import torch
from torch import Tensor, nn

from lab_utils.data.batches import normalize
from lab_utils.data.dataset import Normalization, Split
from lab_utils.insight.corruptions import Accuracy

with warnings.catch_warnings(action="ignore"):  # tqdm's, in a notebook without ipywidgets
    from captum.robust import PGD

STEPS = {"FGSM": 1, "PGD": 10}  # of each attack
EPSILONS = (0, 1, 2, 4, 8)  # the most that one pixel may change, in grey levels of 255
STRONG = 2  # the epsilon of which the captions and the model card speak
_BATCH = 50  # gradients of more images at once leave the processor's cache

Model = Callable[[Tensor], Tensor]


def on_pixels(network: nn.Module, normalization: Normalization) -> Model:
    """``network`` as a function of images in [0, 1], so that an attack is bounded in pixels."""
    return lambda pixels: network(normalize(255 * pixels, normalization))


def margin(logits: Tensor, targets: Tensor) -> Tensor:
    """How far the other classes are ahead of the true one, (B,): an image's cross-entropy is
    log(1 + exp(this)).

    So the gradients of both have the same signs, but that of the margin does not vanish where the
    network is so sure that the cross-entropy rounds to zero, which would look like robustness.
    """
    true = targets[:, None]
    others = logits.scatter(1, true, -torch.inf).logsumexp(1)
    return others - logits.gather(1, true).squeeze(1)


def attack(model: Model, pixels: Tensor, targets: Tensor, epsilon: float, steps: int = 1) -> Tensor:
    """``pixels`` (B, 3, H, W), each changed by at most ``epsilon`` so that the loss rises.

    One step in the sign of the gradient is the fast gradient sign method (arXiv:1412.6572); several
    of 2.5 epsilon / ``steps`` from a random start, always the same one, are projected gradient
    descent (arXiv:1706.06083). Both are Captum's.
    """
    method = PGD(model, margin, lower_bound=0.0, upper_bound=1.0)
    method.fgsm.zero_thresh = 0.0  # however small a gradient is, its sign counts
    several = steps > 1
    size = 2.5 * epsilon / steps if several else epsilon
    devices = [pixels.device] if pixels.device.type == "cuda" else []
    # Captum warns that it lets the pixels have gradients.
    with torch.random.fork_rng(devices), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(0)
        return method.perturb(pixels, epsilon, size, steps, targets, random_start=several)


def attack_curve(
    network: nn.Module, split: Split, normalization: Normalization, device: torch.device
) -> list[Accuracy]:
    """Accuracy on ``split`` under FGSM and PGD at each of ``EPSILONS``; ``network`` evaluates.

    An image that a smaller change has broken counts as broken: the larger change contains it, and
    only what is still right need be attacked.
    """
    model = on_pixels(network, normalization)
    pixels = (split.images.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
    targets = split.targets.to(device)
    clean = _right(model, pixels, targets)
    rows = []
    for name, steps in STEPS.items():
        right = clean.clone()
        for epsilon in EPSILONS:
            # Captum cannot take an empty batch, and splitting nothing would give one.
            parts = right.nonzero().squeeze(1).split(_BATCH) if right.any() else ()
            for chosen in parts if epsilon else ():
                attacked = attack(model, pixels[chosen], targets[chosen], epsilon / 255, steps)
                right[chosen] = _right(model, attacked, targets[chosen])
            rows.append(Accuracy.of(right, name, epsilon))
    return rows


@torch.no_grad()
def _right(model: Model, pixels: Tensor, targets: Tensor) -> Tensor:
    parts = [model(x).argmax(1) for x in pixels.split(_BATCH)]
    return torch.cat(parts) == targets
