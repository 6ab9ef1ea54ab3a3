"""The figures of notebook 03: filters, what they make of an image, and a batch learned by heart."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
import torch
from torch import Tensor

from lab_utils.core.drawing import BLUE, Drawing, guessing_line, new_figure, styled
from lab_utils.data.dataset import Split
from lab_utils.setup.image_grid import ImageGrid


@styled
def kernel(
    image: Tensor, weights: Tensor, result: Tensor, subject: str, name: str, amount: float
) -> Drawing:
    """A grey ``image`` (S, S) of ``subject``, a kernel (k, k), and the convolution of the two.

    ``name`` and ``amount`` say what kernel it is. Both pictures have a scale of their own.
    """
    subject = subject.replace("_", " ")
    figure, axes = new_figure(6.4, 2.3, 1, 3)
    panels = (image, subject), (weights, "kernel"), (result, "result")
    for ax, (values, title) in zip(axes, panels, strict=True):
        ax.imshow(values.numpy(), cmap="gray")
        ax.set_title(f"{title}: {values.min():.2f} to {values.max():.2f}")
        ax.axis("off")
    middle = (weights.min() + weights.max()) / 2
    for (row, column), weight in np.ndenumerate(weights.numpy()):
        ink = "black" if weight > middle else "white"
        axes[1].text(column, row, f"{weight:.2g}", ha="center", va="center", color=ink)
    below = (result < 0).float().mean()
    return Drawing(
        "kernel",
        figure,
        f"A validation image ({subject}) in grey, the kernel “{name}” with amount {amount:.1f}, "
        f"and what their convolution gives. Bright is large and dark is small, each on its own "
        f"scale: the pixels go from {image.min():.2f} to {image.max():.2f}, the results from "
        f"{result.min():.2f} to {result.max():.2f}; {below:.0%} of the results are below zero.",
        f"Three squares: a grey image of {subject}, a table of {weights.numel()} weights, and the "
        f"grey image that the kernel “{name}” makes of the first.",
    )


@styled
def feature_maps(
    split: Split, classes: Sequence[str], maps: Mapping[str, np.ndarray], kind: str, state: str
) -> Drawing:
    """The first image of ``split``, and the first 8 channels of ``maps`` of it.

    ``maps`` are (C, H', W') by layer, all of one ``kind`` such as ReLU; ``state`` says how the
    network stands. Every map has a grey scale of its own, from its smallest to its largest value.
    """
    image = Image.fromarray(split.images[0].permute(1, 2, 0).numpy())
    subject = classes[split.targets[0]].replace("_", " ")
    grid = ImageGrid(len(maps), 9)
    for row, (layer, channels) in enumerate(maps.items()):
        height, width = channels.shape[-2:]
        small = image.resize((width, height), Image.Resampling.BOX)
        grid.show((row, 0), np.asarray(small), "" if row else "image")
        where = {"x": -0.1, "y": -(row + 0.5) * grid.down, "rotation": 90, "fontsize": 8}
        label = f"{layer}\n{' x '.join(map(str, channels.shape))}"
        grid.ax.text(s=label, ha="right", va="center", ma="center", **where)
        for index, channel in enumerate(channels[:8], start=1):
            grid.show((row, index), channel, "" if row else f"channel {index}", cmap="gray")
    positive = ", ".join(f"{(channels > 0).mean():.0%}" for channels in maps.values())
    zeros = "; the ReLU has set the others to zero" if kind == "ReLU" else ""
    return Drawing(
        "feature_maps",
        grid.figure,
        f"One validation image ({subject}) and the first 8 channels after each of {len(maps)} "
        f"{kind} layers of the {state} network. Each map has its own scale, from its smallest "
        f"value (black) to its largest (white). From the first to the last, {positive} of the "
        f"values are above zero{zeros}.",
        f"A grid of {len(maps)} rows, one per layer: on the left the image at the resolution of "
        "the layer, then up to 8 grey maps. The maps grow coarser from the first row to the last.",
    )


@styled
def overfit(losses: Sequence[float], guessing: float, images: int) -> Drawing:
    """The loss (nats) of one batch of ``images`` that is trained on again and again."""
    (figure, ax), steps = new_figure(6.4, 2.0), len(losses) - 1  # the first is before any
    ax.plot(range(len(losses)), losses, "o-", color=BLUE, markersize=3)
    guessing_line(ax, guessing, "guessing")
    ax.set(yscale="log", xlabel="steps taken on the same batch", ylabel="cross-entropy (nats)")
    ax.yaxis.set_major_formatter("{x:g}")
    return Drawing(
        "overfit",
        figure,
        f"Loss of one batch of {images} images, trained on {steps} times, on a logarithmic axis: "
        f"from {losses[0]:.2f} to {losses[-1]:.3f}. Guessing costs {guessing:.2f}.",
        f"Line plot: cross-entropy on a logarithmic axis over {steps} steps on one batch. It "
        f"falls from {losses[0]:.2f}, near a dotted line that marks guessing, to {losses[-1]:.3f}.",
    )


@styled
def filters(weight_before: Tensor, weight_after: Tensor | None = None) -> Drawing:
    """Up to 32 filters of a convolution, (O, C, k, k), and below each what training made of it.

    Three channels are drawn as red, green and blue, any other number as their mean, in grey. Every
    filter has a scale of its own, on which zero is mid-grey.
    """
    banks = {"before": weight_before.detach().float().cpu()}
    if weight_after is not None:
        banks["after"] = weight_after.detach().float().cpu()
    total, channels, *size = weight_before.shape
    shown, columns = min(total, 32), 16
    grid = ImageGrid(len(banks) * -(-shown // columns), min(shown, columns), 0.4)
    for row, (state, bank) in enumerate(banks.items()):
        for index in range(shown):
            place = (len(banks) * (index // columns) + row, index % columns)
            grid.show(place, _tile(bank[index]), cmap="gray", vmin=0, vmax=1)
            if index % columns == 0 and len(banks) > 1:
                y = -(place[0] + 0.5) * grid.down
                grid.ax.text(-0.1, y, state, ha="right", va="center", fontsize=8)
    several = len(banks) > 1
    which = f"{shown}" if shown == total else f"first {shown} of {total}"
    colours = "their colours are the weights on red, green and blue"
    if channels != 3:
        colours = f"drawn is the mean over their {channels} channels, in grey: these are no colours"
    return Drawing(
        "learned_filters" if several else "filters",
        grid.figure,
        f"The {which} filters of the first convolution, {size[0]} x {size[1]} pixels, before "
        f"{'and after ' if several else ''}training; {colours}. Each has its own scale, on which "
        f"zero is mid-grey.{_smoothness(banks)}",
        f"Rows of small {'coloured' if channels == 3 else 'grey'} squares, each a filter of "
        f"{size[0]} x {size[1]} pixels{', below it the same one after training' * several}.",
    )


def _tile(weights: Tensor) -> np.ndarray:
    """A filter (C, k, k) as an image (k, k, 3), or (k, k) unless C is 3, of values in 0..1."""
    picture = weights.permute(1, 2, 0) if len(weights) == 3 else weights.mean(0)
    return (0.5 + 0.5 * picture / picture.abs().max().clamp(min=1e-12)).numpy()


def _smoothness(banks: Mapping[str, Tensor]) -> str:
    """How alike neighbouring weights are, and each filter (C, k, k) of two banks and itself."""
    text, (*_, height, width) = "", next(iter(banks.values())).shape
    if min(height, width) > 1:
        found = []
        for name, bank in banks.items():
            here = torch.cat([bank[..., :-1].flatten(), bank[..., :-1, :].flatten()])
            beside = torch.cat([bank[..., 1:].flatten(), bank[..., 1:, :].flatten()])
            found.append(f"{torch.corrcoef(torch.stack([here, beside]))[0, 1]:.2f} {name}")
        text += f" The correlation of neighbouring weights is {', '.join(found)}."
    if len(banks) > 1:
        cosine = torch.cosine_similarity(*(bank.flatten(1) for bank in banks.values())).mean()
        text += f" The cosine between a filter and what became of it is {cosine:.2f} on average."
    return text
