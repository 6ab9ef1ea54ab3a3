"""The figures of notebook 03: what the layers make of an image, and a batch learned by heart."""

from collections.abc import Mapping, Sequence

from lab_utils.figures.style import BLUE, LabFigure, guessing_line, new_figure, styled
import numpy as np


@styled
def feature_maps(image: np.ndarray, maps: Mapping[str, np.ndarray], count: int = 8) -> LabFigure:
    """``image`` (H, W, 3) uint8, then the first ``count`` channels of each of ``maps`` (C, H', W').

    One row per layer, the keys are their labels. The first column shows the image at the layer's
    resolution; every map is scaled to its own range, dark for its smallest value.
    """
    figure, axes = new_figure(
        0.85 * (count + 1), 0.98 * len(maps), len(maps), count + 1, squeeze=False
    )
    for row, (label, channels) in zip(axes, maps.items(), strict=True):
        row[0].imshow(_shrink(image, channels.shape[-2:]), interpolation="nearest")
        row[0].set_ylabel(label, fontsize=8)
        for ax, channel in zip(row[1:], channels[:count], strict=False):
            ax.imshow(channel, cmap="gray", interpolation="nearest")
        for ax in row:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            ax.grid(False)
        for ax in row[1 + len(channels) :]:
            ax.axis("off")
    axes[0, 0].set_title("image", fontsize=8)
    for index, ax in enumerate(axes[0, 1:], start=1):
        ax.set_title(f"channel {index}", fontsize=8)
    return figure


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
