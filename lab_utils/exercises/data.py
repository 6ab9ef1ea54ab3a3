"""The exercises of notebook 02: hold out a validation split, and crop an image."""

from collections.abc import Callable

import torch
from torch import Tensor

from lab_utils.data.batches import border, crop
from lab_utils.exercises.exercise import call, exercise, expect


@exercise
def stratified_split(answer: Callable[..., tuple[Tensor, Tensor]]) -> str:
    """Indices for training and for validation; the second part has the fraction of each class."""
    generator = torch.Generator().manual_seed(0)
    cases = (([20] * 10, 0.1), ([7, 30, 63], 0.25), ([2, 3, 12], 0.5))  # images of each class
    for sizes, fraction in cases:
        labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        targets = labels[torch.randperm(len(labels), generator=generator)]
        with torch.random.fork_rng(devices=[]):  # the answer may seed the global generator
            results = [call(answer, targets.clone(), fraction, seed) for seed in (1, 1, 2)]
        expect(all(len(result) == 2 for result in results), "it does not give two parts")
        train, val = (torch.as_tensor(part).tolist() for part in results[0])
        given = f"for classes of {', '.join(map(str, sizes))} images and fraction {fraction}"
        both = len(set(train) & set(val))
        expect(both == 0, f"{given} {both} indices are in both parts")
        every = sorted(train + val) == list(range(len(targets)))
        expect(every, f"{given} the {len(train)} and {len(val)} indices are not all, each once")
        counts = targets[torch.tensor(val, dtype=torch.int64)].bincount(minlength=len(sizes))
        for label, (count, size) in enumerate(zip(counts.tolist(), sizes, strict=True)):
            share = f"{count} of the {size} images of class {label}, not about {fraction * size:g}"
            near = abs(count - fraction * size) <= 1
            expect(near, f"{given} the validation part holds {share}")
        held_out = [sorted(torch.as_tensor(part).tolist()) for _, part in results]
        expect(held_out[0] == held_out[1], f"{given} seed 1 gives other parts when called again")
        expect(held_out[0] != held_out[2], f"{given} seeds 1 and 2 give the same parts")
    return "disjoint, complete, in proportion, and repeatable"


@exercise
def crop_one(answer: Callable[..., Tensor]) -> str:
    """The window at (top, left), as large as the image, of the image with a border of zeros."""
    cases = (  # height, width, top, left, padding; in the third the border is not needed
        (2, 3, 0, 1, 1), (2, 3, 2, 0, 1), (2, 3, 1, 1, 1), (2, 3, 0, 0, 0), (32, 32, 8, 3, 4),
    )  # fmt: skip
    for height, width, top, left, padding in cases:
        pixels = torch.arange(3 * height * width) % 255 + 1
        image = pixels.to(torch.uint8).view(3, height, width)
        place = (torch.tensor([number]) for number in (0, top, left))
        right = crop(border(image[None], padding), *place, padding)[0]
        found = torch.as_tensor(call(answer, image.clone(), top, left, padding))
        given = f"for {tuple(image.shape)}, top {top}, left {left}, padding {padding}"
        shapes = f"the shape is {tuple(found.shape)}, not {tuple(right.shape)}"
        expect(found.shape == right.shape, f"{given} {shapes}")
        expect(found.dtype == right.dtype, f"{given} the type is {found.dtype}, not {right.dtype}")
        wrong = (found != right).sum()
        first = f"its first channel is {found[0].tolist()}, not {right[0].tolist()}"
        pixels = first if right.numel() < 20 else f"{wrong} values are wrong"
        expect(wrong == 0, f"{given} {pixels}")
    return "the library's crop gives the same pixels"
