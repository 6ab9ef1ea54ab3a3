"""The figures of notebook 01: what a picture is made of, and what a forgotten zero_grad does."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lab_utils.core import drawing
from lab_utils.core.drawing import Drawing, new_figure, styled
from lab_utils.setup.image_grid import image_grid

CHANNELS = ("red", "green", "blue")


def channels(picture: Tensor) -> Drawing:
    """A picture (3, H, W) uint8, and each of its channels as shades of grey."""
    planes = [np.repeat(plane[..., None], 3, axis=2) for plane in picture.numpy()]
    shown = [picture.permute(1, 2, 0).numpy(), *planes]
    ranges = [f"{plane.min()} to {plane.max()}" for plane in picture]
    titles = ["picture", *(f"{c}: {r}" for c, r in zip(CHANNELS, ranges, strict=True))]
    _, height, width = picture.shape
    return Drawing(
        "channels", image_grid(shown, titles, columns=4, size=1.5),
        f"A picture of {width} by {height} pixels, and the three numbers of each pixel as shades "
        "of grey: black is 0, white is 255.",
        f"Four small images: a picture, and its red, green and blue channel in grey, with values "
        f"from {', '.join(ranges)}.",
    )  # fmt: skip


@styled
def descent(cleared: Sequence[float], forgotten: Sequence[float]) -> Drawing:
    """The loss at each step of gradient descent, with and without ``zero_grad()``."""
    figure, ax = new_figure(6.4, 2.2)
    ax.plot(forgotten, color=drawing.ORANGE, label="zero_grad() forgotten")
    ax.plot(cleared, color=drawing.BLUE, label="gradient cleared at each step")
    ax.set(xlabel="step", ylabel="loss", ylim=0)
    drawing.whole_numbers(ax.xaxis)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return Drawing(
        "descent", figure,
        f"The squared error over {len(cleared)} steps of gradient descent: the same start, the "
        "same learning rate, with and without zero_grad().",
        f"Two curves of the loss from {cleared[0]:.2g}: with the gradient cleared it ends at "
        f"{cleared[-1]:.1g}; without, it goes up and down and ends at {forgotten[-1]:.2g}.",
    )  # fmt: skip
