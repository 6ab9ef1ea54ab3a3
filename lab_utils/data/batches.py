"""Whole batches as tensor operations: shuffle, augment, normalise; no worker, no image objects.

All decoded images stay in memory on the training device, bordered for the random crop, and a second
time mirrored for the random flip. A batch is copied from them, together for all images with the
same offset. Each operation draws from the same distribution as torchvision's of that name.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from lab_utils import LabError
from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Dataset, Normalization, Split


@dataclass(frozen=True)
class Augmentation:
    """What happens at random to the training images; the settings of these names say what.

    Cutout is DeVries and Taylor's (arXiv:1708.04552), ``alternate_flip`` Jordan's
    (arXiv:2404.00498). Mixed targets have a share for each of ``classes``.
    """

    flip: bool = False
    crop_padding: int = 0
    cutout: int = 0
    alternate_flip: bool = False
    crop_fill: str = "zero"
    rotation: float = 0.0
    color_jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    mixup: float = 0.0
    cutmix: float = 0.0
    train_sides: tuple[int, ...] = ()
    classes: int = 10


def normalize(images: Tensor, normalization: Normalization) -> Tensor:
    """(B, C, H, W) uint8 to float32 with ``(x / 255 - mean) / std`` per channel, channels last."""
    pixels = images.permute(0, 2, 3, 1)
    mean, std = (torch.tensor(values, device=images.device) for values in normalization)
    # A row of numbers as long as the image: three at a time would leave the vector units idle.
    repeats = images.shape[2] * images.shape[3]
    scale, shift = (1 / (255 * std)).repeat(repeats), (-mean / std).repeat(repeats)
    normal = torch.addcmul(shift, pixels.flatten(1).float(), scale)
    return normal.view(pixels.shape).permute(0, 3, 1, 2)


def border(images: Tensor, padding: int, fill: str = "zero") -> Tensor:
    """``images`` (N, C, H, W) with ``padding`` pixels on each side, as (N, H + 2p, W + 2p, C).

    ``fill`` is ``zero`` or ``reflect``: the image mirrored at its border.
    """
    sides = (padding,) * 4
    if fill == "reflect":  # torch reflects no uint8
        images = pad(images.float(), sides, mode="reflect").to(images.dtype)
    else:
        images = pad(images, sides)
    return images.permute(0, 2, 3, 1).contiguous()


def crop(bordered: Tensor, chosen: Tensor, top: Tensor, left: Tensor, padding: int) -> Tensor:
    """Crops (B, C, H, W) of the images ``chosen`` from ``border``'s result, channels last.

    Image ``chosen[i]`` is cut at ``top[i]`` and ``left[i]``, 0 to 2 ``padding`` (all (B,) int64).
    """
    offsets = 2 * padding + 1
    height, width = (side - 2 * padding for side in bordered.shape[1:3])
    offset = top * offsets + left
    order, sizes = offset.argsort(), offset.bincount(minlength=offsets**2).tolist()
    crops = bordered.new_empty(len(chosen), height, width, bordered.shape[-1])
    groups = zip(chosen[order].split(sizes), crops.split(sizes), strict=True)
    for index, (group, place) in enumerate(groups):
        y, x = divmod(index, offsets)
        window = bordered[:, y : y + height, x : x + width]
        torch.index_select(window, 0, group, out=place)
    return crops.index_select(0, order.argsort()).permute(0, 3, 1, 2)


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """``images`` (B, C, H, W) with a zero square of ``side`` pixels around each of ``centres``.

    ``centres`` is (B, 2) integers, row and column; what lies outside the image is left out.
    """
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) - centres[:, :1] + side // 2
    columns = torch.arange(width, device=images.device) - centres[:, 1:] + side // 2
    hit = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    return images.masked_fill(hit[:, None], 0.0)


class Batches:
    """Iterates over one epoch of ``split`` in batches; a new order and new crops each time.

    Yields ``inputs`` (B, 3, H, W) float32, channels last in memory, and ``targets`` (B,) int64, or
    (B, classes) float32 shares where images are mixed. The last batch holds what is left over.
    Without ``generator`` the images come in order, unchanged, as an evaluation reads them; it is a
    CPU generator, so that the order does not depend on the device. Its state and ``epoch``, the
    number of epochs begun so far, are all the state there is, but for MixUp and CutMix, which draw
    from torch's global generator. Raises LabError for a training with fewer images than a batch.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        normalization: Normalization,
        device: torch.device | str = "cpu",
        augmentation: Augmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if generator is not None and batch_size > len(split):
            limit = f"the {len(split):,} training images; use at most {len(split)}"
            raise LabError(f"batch_size={batch_size} is larger than {limit}.")
        self.targets = split.targets.to(device)
        self.batch_size, self.normalization, self.generator = batch_size, normalization, generator
        self.augmentation = recipe = augmentation if augmentation and generator else Augmentation()
        self.epoch = 0
        self._images = self._prepared(split.images)
        self._mix = None
        if recipe.mixup or recipe.cutmix:
            from lab_utils.data.augment import mixing  # here and below: only where it is on

            self._mix = mixing(recipe.mixup, recipe.cutmix, recipe.classes)
        if recipe.alternate_flip:
            self._first_flips = self._random(2, len(split))

    def _prepared(self, images: Tensor) -> Tensor:
        """All ``images`` with their border, then, where they are flipped, all mirrored."""
        recipe = self.augmentation
        height, width = (size + 2 * recipe.crop_padding for size in images.shape[-2:])
        shape = 1 + recipe.flip, len(images), height, width, images.shape[1]
        prepared = torch.empty(shape, dtype=images.dtype, device=self.targets.device)
        few = 4096  # so many at a time: a second copy of all would be the largest use of memory
        for place, part in zip(prepared.split(few, 1), images.split(few), strict=True):
            place[0] = border(part, recipe.crop_padding, recipe.crop_fill)
            if recipe.flip:
                place[1] = place[0].flip(2)
        return prepared.flatten(0, 1)

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(len(self.targets))
        if self.generator is not None:
            order = torch.randperm(len(order), generator=self.generator)
            self.epoch += 1
        # Some batches at once: the more images, the more share an offset.
        together = self.batch_size * max(1, 4096 // self.batch_size)
        for chosen in order.to(self.targets.device).split(together):
            parts = (x.split(self.batch_size) for x in (self._pick(chosen), self.targets[chosen]))
            for images, targets in zip(*parts, strict=True):
                inputs = self._finish(images)
                yield self._mix(inputs, targets) if self._mix else (inputs, targets)

    def _random(self, upper: int, count: int) -> Tensor:
        """``count`` integers below ``upper``, on the device of the images."""
        return torch.randint(upper, (count,), generator=self.generator).to(self.targets.device)

    def _pick(self, chosen: Tensor) -> Tensor:
        """The images at ``chosen``, cropped and flipped at random when training; still uint8."""
        if self.generator is None:
            return self._images[chosen].permute(0, 3, 1, 2)
        recipe, count = self.augmentation, len(chosen)
        if recipe.flip:
            if recipe.alternate_flip:
                flips = (self._first_flips[chosen] + self.epoch) % 2
            else:
                flips = self._random(2, count)
            chosen = chosen + len(self.targets) * flips  # the mirror images come after the images
        offsets = 2 * recipe.crop_padding + 1
        top, left = self._random(offsets, count), self._random(offsets, count)
        return crop(self._images, chosen, top, left, recipe.crop_padding)

    def _finish(self, images: Tensor) -> Tensor:
        """Normalised inputs of uint8 ``images``, rotated, jittered, scaled; cut out after that."""
        recipe = self.augmentation
        if recipe.rotation or any(recipe.color_jitter):
            from lab_utils.data.augment import distort

            images = distort(images, recipe.rotation, recipe.color_jitter, self.generator)
        if recipe.train_sides:
            from lab_utils.data.augment import scaled

            images = scaled(images, recipe.train_sides[: self.epoch][-1])
        inputs = normalize(images, self.normalization)
        if not recipe.cutout:
            return inputs
        centres = [self._random(size, len(images)) for size in images.shape[-2:]]
        return cut_out(inputs, torch.stack(centres, 1), recipe.cutout)


def training_batches(settings: Settings, dataset: Dataset, device: torch.device) -> Batches:
    """Shuffled, augmented training batches; their order and crops follow from the seed."""
    chosen = settings.model_dump(include=vars(Augmentation()).keys())
    recipe = Augmentation(**chosen, classes=len(dataset.classes))
    generator = torch.Generator().manual_seed(settings.seed)
    normalization, size = dataset.normalization, settings.batch_size
    return Batches(dataset.train, size, normalization, device, recipe, generator)
