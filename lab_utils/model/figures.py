"""The figures of notebook 03: what the layers make of an image, and a batch learned by heart."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from lab_utils.core.drawing import BLUE, Drawing, guessing_line, new_figure, styled
from lab_utils.core.image_grid import ImageGrid


@styled
def feature_maps(
    image: np.ndarray, subject: str, maps: Mapping[str, np.ndarray], kind: str, state: str
) -> Drawing:
    """``image`` (H, W, 3) uint8, of ``subject``, and the first 8 channels of ``maps`` of it.

    ``maps`` are (C, H', W') by layer, all of one ``kind`` such as ReLU; ``state`` says how the
    network stands. Every map has a grey scale of its own, from its smallest to its largest value.
    """
    grid = ImageGrid(len(maps), 9)
    for row, (layer, channels) in enumerate(maps.items()):
        height, width = channels.shape[-2:]
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
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
    figure, ax = new_figure(6.4, 2.0)
    ax.plot(range(len(losses)), losses, "o-", color=BLUE, markersize=3)
    guessing_line(ax, guessing, "guessing")
    ax.set(yscale="log", xlabel="steps taken on the same batch", ylabel="cross-entropy (nats)")
    ax.yaxis.set_major_formatter("{x:g}")
    return Drawing(
        "overfit",
        figure,
        f"Loss of one batch of {images} images, trained on {len(losses)} times: from "
        f"{losses[0]:.2f} to {losses[-1]:.3f}. Guessing costs {guessing:.2f}.",
        f"Line plot: cross-entropy on a logarithmic axis over {len(losses)} steps on one batch. It "
        f"falls from {losses[0]:.2f}, near a dotted line that marks guessing, to {losses[-1]:.3f}.",
    )
