"""Damage on purpose: the worst that a small change of every pixel can do (FGSM and PGD).

Images are float32 in [0, 1], and so are strengths: of the image, not of the normalised input.
"""

from collections.abc import Callable
from dataclasses import dataclass
import warnings

import torch
from torch import Tensor, nn

from lab_utils.data.batches import normalize
from lab_utils.data.dataset import Normalization, Split
from lab_utils.insight.corruptions import Accuracy

with warnings.catch_warnings(action="ignore"):  # tqdm's, in a notebook without ipywidgets
    from captum.robust import FGSM, PGD

STEPS = 10  # of PGD
EPSILONS = (0, 1, 2, 4, 8)  # the most that one pixel may change, in grey levels of 255
STRONG = 2  # the epsilon of which metrics.json and the captions speak
_BATCH = 50  # gradients of more images at once leave the processor's cache

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Attacked(Accuracy):
    """The accuracy that an attack leaves."""

    attack: str  # FGSM or PGD
    epsilon: int  # in grey levels of 255


def on_pixels(network: nn.Module, normalization: Normalization) -> Model:
    """``network`` as a function of images in [0, 1], so that an attack is bounded in pixels."""
    return lambda pixels: network(normalize(255 * pixels, normalization))


def fgsm(model: Model, pixels: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    """``pixels`` (B, 3, H, W) in [0, 1], each changed by ``epsilon`` in its gradient's sign.

    The fast gradient sign method (arXiv:1412.6572), by Captum; the loss is the cross-entropy.
    """
    method = FGSM(model, _loss, lower_bound=0.0, upper_bound=1.0)
    method.zero_thresh = 0.0  # however small a gradient is, its sign counts
    with warnings.catch_warnings(action="ignore"):  # that Captum lets the pixels have gradients
        return method.perturb(pixels, epsilon, targets).detach()


def pgd(model: Model, pixels: Tensor, targets: Tensor, epsilon: float, seed: int = 0) -> Tensor:
    """``STEPS`` smaller steps from a random start, each kept within ``epsilon`` and [0, 1].

    Projected gradient descent (arXiv:1706.06083), by Captum, with steps of 2.5 epsilon / STEPS as
    there. The random start depends on ``seed`` alone.
    """
    method = PGD(model, _loss, lower_bound=0.0, upper_bound=1.0)
    method.fgsm.zero_thresh = 0.0
    step = 2.5 * epsilon / STEPS
    devices = [pixels.device] if pixels.device.type == "cuda" else []
    with torch.random.fork_rng(devices), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(seed)
        found = method.perturb(pixels, epsilon, step, STEPS, targets, random_start=True)
    return found.detach()


def attack_curve(
    network: nn.Module, split: Split, normalization: Normalization, device: torch.device
) -> list[Attacked]:
    """Accuracy on ``split`` under FGSM and PGD at each of ``EPSILONS``; ``network`` evaluates.

    An image that a smaller change has broken counts as broken: the larger change contains it, and
    only what is still right need be attacked.
    """
    model = on_pixels(network, normalization)
    pixels = (split.images.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
    targets = split.targets.to(device)
    clean = _right(model, pixels, targets)
    rows = []
    for attack in (fgsm, pgd):
        right = clean.clone()
        for epsilon in EPSILONS:
            # Captum cannot take an empty batch, and splitting nothing would give one.
            parts = right.nonzero().squeeze(1).split(_BATCH) if right.any() else ()
            for chosen in parts if epsilon else ():
                attacked = attack(model, pixels[chosen], targets[chosen], epsilon / 255)
                right[chosen] = _right(model, attacked, targets[chosen])
            rows.append(Attacked.of(right, attack=attack.__name__.upper(), epsilon=epsilon))
    return rows


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss per image, (B,), that rises with its cross-entropy: that is log(1 + exp(this)).

    So both gradients have the same signs, but this one does not vanish where the network is so sure
    that the cross-entropy rounds to zero, which would look like robustness.
    """
    true = targets[:, None]
    others = logits.scatter(1, true, -torch.inf).logsumexp(1)
    return others - logits.gather(1, true).squeeze(1)


@torch.no_grad()
def _right(model: Model, pixels: Tensor, targets: Tensor) -> Tensor:
    parts = [model(x).argmax(1) for x in pixels.split(_BATCH)]
    return torch.cat(parts) == targets
