"""Whole batches as tensor operations: shuffle, augment, normalise; no worker, no image objects.

All decoded images stay in memory on the training device, bordered for the random crop, and a second
time mirrored for the random flip. What is left to do for a batch is to copy each image's part: a
whole row of pixels at a time, and together for all images with the same offset. Each operation
draws from the same distribution as torchvision's transform of that name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from lab_utils import LabError
from lab_utils.core.settings import Settings
from lab_utils.data.augment import Jitter, distort
from lab_utils.data.dataset import Dataset, Split


@dataclass(frozen=True)
class Augmentation:
    """What happens at random to each training image.

    flip: mirror half of the images (``RandomHorizontalFlip``).
    crop_padding: zero pixels added to each side before a crop of the old size (``RandomCrop``).
    cutout: side in pixels of a zero square (of the normalised image) with its centre anywhere,
    clipped at the border (DeVries and Taylor, arXiv:1708.04552); 0 for none.
    alternate_flip: chance decides the first epoch's flips alone, then every image alternates, so
    that two epochs show both sides of each (Jordan, arXiv:2404.00498).
    crop_fill: what the padding holds, ``zero`` or the image mirrored at its border, ``reflect``.
    rotation: degrees to either side (``RandomRotation``); 0 for none.
    jitter: of brightness, contrast, saturation and hue (``ColorJitter``); 0 for none.
    """

    flip: bool = False
    crop_padding: int = 0
    cutout: int = 0
    alternate_flip: bool = False
    crop_fill: str = "zero"
    rotation: float = 0.0
    jitter: Jitter = (0.0, 0.0, 0.0, 0.0)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """(B, C, H, W) uint8 to float32 with ``(x / 255 - mean) / std`` per channel, channels last."""
    pixels = images.permute(0, 2, 3, 1)
    # A row of numbers as long as the image: three at a time would leave the vector units idle.
    repeats = images.shape[2] * images.shape[3]
    spread = torch.tensor(std, device=images.device)
    scale = (1 / (255 * spread)).repeat(repeats)
    shift = (-torch.tensor(mean, device=images.device) / spread).repeat(repeats)
    normal = torch.addcmul(shift, pixels.flatten(1).float(), scale)
    return normal.view(pixels.shape).permute(0, 3, 1, 2)


def border(images: Tensor, padding: int, fill: str = "zero") -> Tensor:
    """``images`` (N, C, H, W) with ``padding`` pixels on each side, as (N, H + 2p, W + 2p, C).

    ``fill`` is ``zero`` or ``reflect``: the image mirrored at its border.
    """
    height, width = images.shape[-2:]
    rows, columns = (torch.arange(-padding, size + padding) for size in (height, width))
    if fill == "reflect":  # by index, because torch's reflecting pad takes no uint8
        images = images[:, :, _reflected(rows, height)][..., _reflected(columns, width)]
    else:
        images = pad(images, (padding,) * 4)
    return images.permute(0, 2, 3, 1).contiguous()


def _reflected(index: Tensor, size: int) -> Tensor:
    """``index``, mirrored into 0 … size-1 without repeating the border."""
    return size - 1 - (size - 1 - index.abs()).abs()


def crop(bordered: Tensor, chosen: Tensor, top: Tensor, left: Tensor, padding: int) -> Tensor:
    """Crops (B, C, H, W) of the images ``chosen`` from ``border``'s result, channels last.

    Image ``chosen[i]`` is cut at ``top[i]`` and ``left[i]``, 0 to 2 ``padding`` (all (B,) int64).
    """
    offsets = 2 * padding + 1
    height, width = (side - 2 * padding for side in bordered.shape[1:3])
    offset = top * offsets + left
    order = offset.argsort()
    groups = chosen[order].split(offset.bincount(minlength=offsets**2).tolist())
    crops = bordered.new_empty(len(chosen), height, width, bordered.shape[-1])
    places = crops.split([len(group) for group in groups])
    for index, (group, place) in enumerate(zip(groups, places, strict=True)):
        y, x = divmod(index, offsets)
        window = bordered[:, y : y + height, x : x + width]
        torch.index_select(window, 0, group, out=place)
    return crops.index_select(0, order.argsort()).permute(0, 3, 1, 2)


def cut_out(images: Tensor, centres: Tensor, side: int) -> Tensor:
    """``images`` (B, C, H, W) with a zero square of ``side`` pixels around each of ``centres``.

    ``centres`` is (B, 2) integers, row and column.
    """
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device) - centres[:, :1] + side // 2
    columns = torch.arange(width, device=images.device) - centres[:, 1:] + side // 2
    hit = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    return images.masked_fill(hit[:, None], 0.0)


class Batches:
    """Iterates over one epoch of ``split`` in batches; a new order and new crops each time.

    Yields ``inputs`` (B, 3, H, W) float32, channels last in memory, and ``targets`` (B,) int64. The
    last batch holds what is left over. Without ``generator`` the images come in order, unchanged:
    that is how validation and test images are read. ``generator`` is a CPU generator, so that the
    order does not depend on the device; its state and ``epoch``, the number of epochs begun so far,
    are all the state there is.

    Raises LabError where ``batch_size`` is larger than the split of a training.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device | str = "cpu",
        augmentation: Augmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if generator is not None and batch_size > len(split):
            raise LabError(
                f"batch_size={batch_size} is larger than the {len(split):,} training images; "
                f"use at most {len(split)}."
            )
        self.targets = split.targets.to(device)
        self.batch_size = batch_size
        self.mean, self.std = mean, std
        self.generator = generator
        self.augmentation = augmentation or Augmentation()
        self.epoch = 0
        self._padding = self.augmentation.crop_padding if generator else 0
        self._images = self._prepared(split.images, device)
        if generator is not None and self.augmentation.alternate_flip:
            self._first_flips = self._random(2, len(split))

    def _prepared(self, images: Tensor, device: torch.device | str) -> Tensor:
        """All ``images`` with their border, then, where they are flipped, all mirrored."""
        sides = 2 if self.generator is not None and self.augmentation.flip else 1
        few = 4096  # so many at a time: a second copy of all would be the largest use of memory
        height, width = (size + 2 * self._padding for size in images.shape[-2:])
        shape = sides, len(images), height, width, images.shape[1]
        prepared = torch.empty(shape, dtype=images.dtype, device=device)
        for place, part in zip(prepared.split(few, 1), images.split(few), strict=True):
            place[0] = border(part, self._padding, self.augmentation.crop_fill)
            if sides == 2:
                place[1] = place[0].flip(2)
        return prepared.flatten(0, 1)

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count = len(self.targets)
        if self.generator is None:
            order = torch.arange(count)
        else:
            order = torch.randperm(count, generator=self.generator)
            self.epoch += 1
        order = order.to(self.targets.device)
        # Some batches at once: the more images, the more share an offset.
        together = self.batch_size * max(1, 4096 // self.batch_size)
        for chosen in order.split(together):
            images = self._pick(chosen)
            batches = zip(images.split(self.batch_size), chosen.split(self.batch_size), strict=True)
            for batch, which in batches:
                yield self._finish(batch), self.targets[which]

    def _random(self, upper: int, count: int) -> Tensor:
        """``count`` integers below ``upper``, on the device of the images."""
        return torch.randint(upper, (count,), generator=self.generator).to(self.targets.device)

    def _pick(self, chosen: Tensor) -> Tensor:
        """The images at ``chosen``, cropped and flipped at random when training; still uint8."""
        if self.generator is None:
            return self._images[chosen].permute(0, 3, 1, 2)
        if self.augmentation.flip:
            if self.augmentation.alternate_flip:
                flips = (self._first_flips[chosen] + self.epoch) % 2
            else:
                flips = self._random(2, len(chosen))
            chosen = chosen + len(self.targets) * flips  # the mirror images come after the images
        offsets = 2 * self._padding + 1
        top, left = self._random(offsets, len(chosen)), self._random(offsets, len(chosen))
        return crop(self._images, chosen, top, left, self._padding)

    def _finish(self, images: Tensor) -> Tensor:
        """Normalised inputs of a batch of uint8 ``images``; rotated, jittered, cut out before."""
        if self.generator is None:
            return normalize(images, self.mean, self.std)
        options = self.augmentation.rotation, self.augmentation.jitter
        inputs = normalize(distort(images, *options, self.generator), self.mean, self.std)
        if not self.augmentation.cutout:
            return inputs
        centres = [self._random(size, len(images)) for size in images.shape[-2:]]
        return cut_out(inputs, torch.stack(centres, 1), self.augmentation.cutout)


def training_batches(settings: Settings, dataset: Dataset, device: torch.device) -> Batches:
    """Shuffled, augmented training batches; their order and crops follow from the seed."""
    return Batches(
        dataset.train,
        settings.batch_size,
        dataset.mean,
        dataset.std,
        device,
        Augmentation(
            settings.flip,
            settings.crop_padding,
            settings.cutout,
            settings.alternate_flip,
            settings.crop_fill,
            settings.rotation,
            settings.color_jitter,
        ),
        torch.Generator().manual_seed(settings.seed),
    )
