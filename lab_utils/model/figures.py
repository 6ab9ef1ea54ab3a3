"""The figures of notebook 03: what the layers make of an image, and a batch learned by heart."""

from collections.abc import Mapping, Sequence

import numpy as np

from lab_utils.core.drawing import BLUE, ImageGrid, LabFigure, guessing_line, new_figure, styled


@styled
def feature_maps(image: np.ndarray, maps: Mapping[str, np.ndarray], count: int = 8) -> LabFigure:
    """``image`` (H, W, 3) uint8, then the first ``count`` channels of each of ``maps`` (C, H', W').

    One row per layer, the keys are their labels. The first column shows the image at the layer's
    resolution; every map is scaled to its own range, dark for its smallest value.
    """
    grid = ImageGrid(len(maps), count + 1)
    for row, (label, channels) in enumerate(maps.items()):
        grid.show((row, 0), _shrink(image, channels.shape[-2:]), "" if row else "image")
        middle = -(row + 0.5) * grid.down
        grid.ax.text(
            -0.1, middle, label, rotation=90, ha="right", va="center", ma="center", fontsize=8
        )
        for index, channel in enumerate(channels[:count], start=1):
            title = "" if row else f"channel {index}"
            grid.show((row, index), channel, title, cmap="gray")
    return grid.figure


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 at ``size``, each pixel the mean of those it stands for."""
    rows, columns = (
        np.array_split(np.arange(n), k) for n, k in zip(image.shape, size, strict=False)
    )
    blocks = [[image[r][:, c].mean((0, 1)) for c in columns] for r in rows]
    return np.array(blocks).round().astype(np.uint8)


@styled
def overfit(losses: Sequence[float], guessing: float) -> LabFigure:
    """The loss of one batch that is trained on again and again, on a logarithmic axis."""
    figure, ax = new_figure(6.4, 2.0)
    ax.plot(range(len(losses)), losses, "o-", color=BLUE, markersize=3)
    guessing_line(ax, guessing, "guessing")
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("steps taken on the same batch")
    ax.set_ylabel("cross-entropy (nats)")
    return figure
