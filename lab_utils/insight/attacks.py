"""What is left of the accuracy when test images are damaged, by chance or on purpose.

Images are uint8 or, for the attacks, float32 in [0, 1]: strengths are in units of the image, not of
the normalised input. Every curve counts correct images and gives Wilson's 95% interval. The attacks
need Captum (``attribution.captum``), the corruptions do not.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
import warnings

import torch
from torch import Tensor, nn

from lab_utils.data.batches import normalize
from lab_utils.data.dataset import Split
from lab_utils.insight.corruptions import counted
from lab_utils.insight.gradcam import captum

STEPS = 10  # of PGD


EPSILONS = (0, 1, 2, 4, 8)  # the most that one pixel may change, in grey levels of 255


_BATCH = 50  # gradients of more images at once leave the processor's cache


Model = Callable[[Tensor], Tensor]


def on_pixels(network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> Model:
    """``network`` as a function of images in [0, 1], so that an attack is bounded in pixels."""
    return lambda pixels: network(normalize(255 * pixels, mean, std))


def fgsm(model: Model, pixels: Tensor, targets: Tensor, epsilon: float) -> Tensor:
    """``pixels`` (B, 3, H, W) in [0, 1], each changed by ``epsilon`` in its gradient's sign.

    The fast gradient sign method (arXiv:1412.6572), by Captum; the loss is the cross-entropy.
    """
    method = captum("robust").FGSM(model, _loss, lower_bound=0.0, upper_bound=1.0)
    method.zero_thresh = 0.0  # however small a gradient is, its sign counts
    with _quiet():
        return method.perturb(pixels, epsilon, targets).detach()


def pgd(model: Model, pixels: Tensor, targets: Tensor, epsilon: float, seed: int = 0) -> Tensor:
    """``STEPS`` smaller steps from a random start, each kept within ``epsilon`` and [0, 1].

    Projected gradient descent (arXiv:1706.06083), by Captum, with steps of 2.5 epsilon / STEPS as
    there. The random start depends on ``seed`` alone.
    """
    method = captum("robust").PGD(model, _loss, lower_bound=0.0, upper_bound=1.0)
    method.fgsm.zero_thresh = 0.0
    step = 2.5 * epsilon / STEPS
    devices = [pixels.device] if pixels.device.type == "cuda" else []
    with torch.random.fork_rng(devices), _quiet():
        torch.manual_seed(seed)
        found = method.perturb(pixels, epsilon, step, STEPS, targets, random_start=True)
    return found.detach()


def attack_curve(
    network: nn.Module,
    split: Split,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
) -> list[dict[str, Any]]:
    """Accuracy on ``split`` under FGSM and PGD at each of ``EPSILONS``; ``network`` evaluates.

    An image that a smaller change has broken counts as broken: the larger change contains it, and
    only what is still right need be attacked. Rows: ``attack`` (FGSM, PGD), ``epsilon`` in grey
    levels of 255, and ``images``, ``correct``, ``accuracy``, ``low``, ``high``.
    Raises LabError where Captum is missing.
    """
    model = on_pixels(network, mean, std)
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
            rows.append({"attack": attack.__name__.upper(), "epsilon": epsilon} | counted(right))
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


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Captum says that it lets the pixels require a gradient, which is what it is called for.
        warnings.filterwarnings("ignore", message="Input Tensor")
        yield
