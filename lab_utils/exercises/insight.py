"""The exercise of notebook 09: an attack with one gradient."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lab_utils.exercises.exercise import call, exercise, expect


def _small_model(generator: torch.Generator) -> nn.Module:
    """Logits (B, 3) of images (B, 3, 2, 2), with weights from ``generator`` alone."""
    linear = nn.utils.skip_init(nn.Linear, 12, 3)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.normal_(generator=generator)
    return nn.Sequential(nn.Flatten(), linear)


def _loss(model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(model(images), targets)


@exercise
def fgsm(answer: Callable[[nn.Module, Tensor, Tensor, float], Tensor]) -> str:
    """Images (B, 3, H, W) in 0..1, each value moved by epsilon so that the loss rises."""
    generator = torch.Generator().manual_seed(9)
    model, targets = _small_model(generator), torch.tensor([0, 1, 2, 0])
    images = torch.rand(4, 3, 2, 2, generator=generator)
    images[0], images[1, :, 0] = 0.0, 1.0  # black and white have no room on one side
    for epsilon, training in ((0.1, False), (0.02, True), (0.0, False)):
        given, images_given = f"with epsilon {epsilon}", images.clone()
        model.train(training)
        found = call(answer, model, images_given, targets, epsilon)
        kind = f"it gives {type(found).__name__}, not images of shape {tuple(images.shape)}"
        expect(isinstance(found, Tensor) and found.shape == images.shape, kind)
        untouched = images_given.equal(images) and not images_given.requires_grad
        expect(untouched, "it changes the images that it is given: work on a copy, images.clone()")
        without = all(parameter.grad is None for parameter in model.parameters())
        expect(without, "it leaves gradients in the model: torch.autograd.grad asks for one alone")
        expect(model.training == training, "the model is not in the mode in which it was given")
        change, low, high = (found - images).abs().max(), found.min(), found.max()
        expect(change <= epsilon + 1e-6, f"{given} a value changes by {change:.3g}")
        expect(low >= 0 and high <= 1, f"{given} the values reach from {low:.3g} to {high:.3g}")
        before, after = (_loss(model, x, targets).item() for x in (images, found))
        rises = after > before or epsilon == 0
        expect(rises, f"{given} the loss goes from {before:.3f} to {after:.3f}")
        leaf = images.clone().requires_grad_()
        (slope,) = torch.autograd.grad(_loss(model, leaf, targets), leaf)
        right = (images + epsilon * slope.sign()).clamp(0, 1)
        count = int(((found - right).abs() > 1e-5).sum())
        off = f"{given} {count} of {right.numel()} values are not where the sign of the gradient"
        expect(count == 0, f"{off} moves them")
    return "within epsilon, within 0..1, and the loss rises"
