"""The exercises of notebook 03: a convolution, the costs of a block, a network that is stuck."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from lab_utils.exercises.exercise import call, exercise, expect

STEPS = 25


@exercise
def conv2d(answer: Callable[..., Tensor]) -> str:
    """The convolution of one image (C, H, W) with weights (O, C, k, k) and a bias (O,)."""
    generator = torch.Generator().manual_seed(0)
    cases = (  # image, weights, padding
        ((1, 3, 3), (1, 1, 2, 2), 0), ((1, 3, 3), (1, 1, 3, 3), 1), ((3, 5, 7), (4, 3, 3, 3), 1),
        ((2, 6, 5), (3, 2, 1, 1), 0), ((2, 4, 6), (2, 2, 5, 5), 2),
    )  # fmt: skip
    for shape, filters, padding in cases:
        image, weight, bias = (
            torch.randint(-4, 5, size, generator=generator).float()
            for size in (shape, filters, filters[:1])
        )
        right = functional.conv2d(image[None], weight, bias, padding=padding)[0]
        mistakes = {
            "without the bias": right - bias[:, None, None],
            "with the weights upside down": functional.conv2d(
                image[None], weight.flip(2, 3), bias, padding=padding
            )[0],
        }
        inputs = (tensor.clone() for tensor in (image, weight, bias))
        found = torch.as_tensor(call(answer, *inputs, padding)).float()
        given = f"for an image {shape}, weights {filters} and padding {padding}"
        shapes = f"the shape is {tuple(found.shape)}, not {tuple(right.shape)}"
        expect(found.shape == right.shape, f"{given} {shapes}")
        likely = [f", as {why}" for why, it in mistakes.items() if torch.allclose(found, it)]
        worst = (found - right).abs().max()
        far = f"it is off by up to {worst:.1f}{''.join(likely[:1])}"
        expect(torch.allclose(found, right, atol=1e-4), f"{given} {far}")
    return "PyTorch gives the same, with padding, bias and several filters"


@exercise
def fourth_block(answer: Callable[[int], tuple]) -> str:
    """(channels, height, width) after it, its parameters, and those of the whole network."""
    for channels in (256, 128, 512):
        found = call(answer, channels)
        given = f"for {channels} channels"
        expect(len(found) == 3, f"{given} it gives {found}, not a shape and two numbers")
        shape, block, total = tuple(found[0]), *found[1:]
        sides = (channels, 2, 2)
        expect(shape == sides, f"{given} the shape is {shape}, not {sides}: what halves the side?")
        right = (9 * 128 + 1) * channels + 2 * channels
        expect(block == right, f"{given} the block has {block:,} parameters, not {right:,}")
        first = (channels * 2 * 2 + 1) * 256  # instead of (128 * 4 * 4 + 1) * 256
        whole = 93_696 + right + first + (256 + 1) * 10
        off = f"{given} the network has {total:,} parameters, not {whole:,}"
        expect(total == whole, f"{off}: what goes into the first linear layer now?")
    return "so the network hardly grows with 256 channels: the first linear layer shrinks"


@exercise
def mended(answer: Callable[[int], nn.Module]) -> str:
    """A class of networks that learn a batch by heart."""
    expect(isinstance(answer, type), "give the class itself, without brackets: mended = Stuck")
    for count, classes in ((20, 10), (6, 3)):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            network = call(answer, classes)
            coarse = torch.randn(count, 3, 4, 4)
        inputs = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3)  # 4 x 4 squares of colour
        targets = torch.arange(count) % classes
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        given = f"for a batch of {count} images of {classes} classes"
        for _ in range(STEPS):
            logits = network(inputs)
            shape = tuple(logits.shape)
            expect(shape == (count, classes), f"{given} the shape of the logits is {shape}")
            loss = functional.cross_entropy(logits, targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        low, high = logits.min(), logits.max()
        outputs = f"and the outputs lie between {low:.2f} and {high:.2f}"
        still = f"{given} the loss is still {loss:.2f} after {STEPS} steps, {outputs}"
        expect(loss < 0.1, still)
    return "it learns a batch by heart"
