"""Whole batches as tensor operations: shuffle, augment, normalise; no worker, no image objects.

All decoded images stay in memory on the training device. A random crop is one indexing operation:
the padded images are viewed as every window of them, and a batch picks one window per image. Each
operation draws from the same distribution as torchvision's transform of that name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab_utils import LabError
from lab_utils.augment import Jitter, distort
from lab_utils.data import Split
import torch
from torch import Tensor
from torch.nn.functional import pad


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
    """(B, C, H, W) uint8 to float32 with ``(x / 255 - mean) / std`` per channel."""
    scale = 1 / (255 * torch.tensor(std, device=images.device))
    shift = -torch.tensor(mean, device=images.device) / torch.tensor(std, device=images.device)
    return torch.addcmul(shift.view(-1, 1, 1), images.float(), scale.view(-1, 1, 1))


def windows(images: Tensor, padding: int, fill: str = "zero") -> Tensor:
    """Every crop of the padded ``images``, as a view: (N, 2p+1, 2p+1, C, H, W)."""
    height, width = images.shape[-2:]
    if fill == "reflect":  # by index, because torch's reflecting pad takes no uint8
        padded = images[:, :, _reflected(height, padding)][..., _reflected(width, padding)]
    else:
        padded = pad(images, (padding,) * 4)
    return padded.unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)


def _reflected(size: int, padding: int) -> Tensor:
    """Indices -p … size+p-1, mirrored into 0 … size-1 without repeating the border."""
    index = torch.arange(-padding, size + padding).abs()
    return size - 1 - (size - 1 - index).abs()


def flip_some(images: Tensor, flips: Tensor) -> Tensor:
    """``images`` (B, C, H, W), mirrored left to right where ``flips`` (B,) is true."""
    return torch.where(flips.view(-1, 1, 1, 1), images.flip(-1), images)


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
        self.images = split.images.to(device)
        self.targets = split.targets.to(device)
        self.batch_size = batch_size
        self.mean, self.std = mean, std
        self.generator = generator
        self.augmentation = augmentation or Augmentation()
        self.epoch = 0
        if generator is not None:  # evaluation reads the images as they are, without a padded copy
            self._windows = windows(
                self.images, self.augmentation.crop_padding, self.augmentation.crop_fill
            )
            if self.augmentation.alternate_flip:
                self._first_flips = self._random(2, len(split))

    def __len__(self) -> int:
        return -(-len(self.targets) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.generator is None:
            order = torch.arange(len(self.targets))
        else:
            order = torch.randperm(len(self.targets), generator=self.generator)
            self.epoch += 1
        for chosen in order.split(self.batch_size):
            images = self._pick(chosen)
            if self.generator is not None:
                options = self.augmentation.rotation, self.augmentation.jitter
                images = distort(images, *options, self.generator)
            inputs = normalize(images, self.mean, self.std)
            if self.generator is not None and self.augmentation.cutout:
                centres = [self._random(size, len(chosen)) for size in images.shape[-2:]]
                inputs = cut_out(inputs, torch.stack(centres, 1), self.augmentation.cutout)
            yield (
                inputs.contiguous(memory_format=torch.channels_last),
                self.targets[chosen.to(self.targets.device)],
            )

    def _random(self, upper: int, count: int) -> Tensor:
        """``count`` integers below ``upper``, on the device of the images."""
        return torch.randint(upper, (count,), generator=self.generator).to(self.images.device)

    def _pick(self, chosen: Tensor) -> Tensor:
        """The images at ``chosen``, cropped and flipped at random when training; still uint8."""
        chosen_here = chosen.to(self.images.device)
        if self.generator is None:
            return self.images[chosen_here]
        offsets = 2 * self.augmentation.crop_padding + 1
        top, left = self._random(offsets, len(chosen)), self._random(offsets, len(chosen))
        images = self._windows[chosen_here, top, left]
        if not self.augmentation.flip:
            return images
        if self.augmentation.alternate_flip:
            flips = (self._first_flips[chosen_here] + self.epoch) % 2
        else:
            flips = self._random(2, len(chosen))
        return flip_some(images, flips == 1)
