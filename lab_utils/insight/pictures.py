"""The figures of notebook 09 that hold images: where the model looks, and what is done to them."""

from collections.abc import Sequence

from matplotlib.ticker import PercentFormatter
import pandas as pd
from torch import Tensor

from lab_utils.core.drawing import BLUE, ORANGE, Drawing, new_figure, styled
from lab_utils.evaluation.figures import short
from lab_utils.insight.corruptions import CORRUPTIONS
from lab_utils.insight.gradcam import Look
from lab_utils.setup.image_grid import ImageGrid


@styled
def maps(image: Tensor, look: Look, name: str) -> Drawing:
    """The first image of ``look``, (3, H, W) uint8, its heat, and the maps that add most to it."""
    adds = [f"{channel.sum():+.2f}" for channel in look.maps[0]]
    grid = ImageGrid(1, 2 + len(adds), size=1.1, lines=2)
    grid.show((0, 0), image.permute(1, 2, 0).numpy(), "the image")
    for column, (channel, add) in enumerate(zip(look.maps[0], adds, strict=True), 1):
        grid.show((0, column), channel.numpy(), f"a map that\nadds {add}", cmap="gray")
    heat = look.heat[0].numpy()
    grid.show((0, 1 + len(adds)), heat, "heat:\nall maps together", cmap="inferno", vmin=0, vmax=1)
    return Drawing(
        "grad_cam_maps",
        grid.figure,
        f"An image, the {len(adds)} weighted maps that add most to the logit of {name} (about "
        f"{', '.join(adds)}), and the sum of all maps where it is above zero. Each map has a scale "
        "of gray of its own.",
        f"A row of images: the image, {len(adds)} coarse maps in gray, bright where they speak for "
        f"{name}, and the heat that all maps give together.",
    )


@styled
def grad_cam(images: Tensor, looks: Sequence[Look], names: Sequence[Sequence[str]]) -> Drawing:
    """A column for each image: it, its heat for the predicted class, its heat for a rival.

    ``images`` (N, 3, H, W) uint8; ``looks`` two for these images; ``names`` the classes of each
    image: the true one and those of both looks.
    """
    images = images.permute(0, 2, 3, 1).numpy()
    grid = ImageGrid(1 + len(looks), len(images), size=0.95, lines=1)
    for column, (image, gray) in enumerate(zip(images, images.mean(3), strict=True)):
        grid.show((0, column), image, f"truth: {short(names[0][column], 10)}")
        for row, (look, classes) in enumerate(zip(looks, names[1:], strict=True), 1):
            title = f"heat: {short(classes[column], 10)}"
            grid.show((row, column), gray, title, cmap="gray", vmin=0, vmax=255)
            heat = look.heat[column].numpy()
            grid.show((row, column), heat, cmap="inferno", vmin=0, vmax=1, alpha=0.6)
    cells = "x".join(map(str, looks[0].cells))
    wrong = sum(true != found for true, found in zip(*names[:2], strict=True))
    return Drawing(
        "grad_cam",
        grid.figure,
        f"Grad-CAM on maps of {cells} cells. From top to bottom: the image with its true class, "
        f"the heat of the predicted class, that of a rival. The prediction is wrong for {wrong} "
        f"of the {len(images)}.",
        f"{len(images)} columns: an image, and below it the same in gray twice, under the heat of "
        "the predicted class and under that of another.",
    )


@styled
def damaged(image: Tensor) -> Drawing:
    """One image (3, H, W) uint8 as it is, and under each corruption at each strength."""
    strengths = len(next(iter(CORRUPTIONS.values())))
    grid = ImageGrid(len(CORRUPTIONS), 1 + strengths, size=0.95, lines=1)
    for row, (corrupt, chosen) in enumerate(CORRUPTIONS.items()):
        grid.show((row, 0), image.permute(1, 2, 0).numpy(), "as it is")
        for column, strength in enumerate(chosen, 1):
            found = corrupt(image[None], strength)[0].permute(1, 2, 0).numpy()
            grid.show((row, column), found, f"{corrupt.__name__} {strength:g}")
    return Drawing(
        "damaged",
        grid.figure,
        f"A test image under {len(CORRUPTIONS)} kinds of damage at {strengths} strengths each: "
        "standard deviation of the noise in grey levels of 255, of the blur in pixels, quality of "
        "the JPEG from 100 (best) down.",
        "A grid of one image: as it is, and a row each for noise, blur and JPEG compression, which "
        "get stronger from left to right.",
    )


@styled
def attacked_image(
    before: Tensor, after: Tensor, chances: Tensor, classes: Sequence[str], target: int
) -> Drawing:
    """An image (3, H, W) in [0, 1] before and after an attack, and what the network says of both.

    ``chances`` (2, K) are its probabilities; ``target`` is the true class.
    """
    change, names = after - before, [short(name) for name in classes]
    largest = change.abs().max().item()
    figure, axes = new_figure(6.4, 2.2, 1, 4, width_ratios=(1, 1, 1, 1.3))
    enlarged = 0.5 + change / (2 * largest or 1)
    titles = ("as it is", "attacked", "the change, enlarged")
    for ax, picture, title in zip(axes, (before, after, enlarged), titles, strict=False):
        ax.imshow(picture.permute(1, 2, 0).numpy(), interpolation="nearest")
        ax.set_title(title)
        ax.axis("off")
    top = chances.amax(0).topk(min(5, len(classes))).indices.tolist()
    table = pd.DataFrame(chances.T[top].numpy(), [names[i] for i in top], titles[:2])
    table.plot.barh(ax=axes[3], color=[BLUE, ORANGE], width=0.8)
    axes[3].invert_yaxis()
    axes[3].set(xlim=(0, 1), xticks=(0, 0.5, 1), xlabel="probability")
    axes[3].xaxis.set_major_formatter(PercentFormatter(1))
    first, last = (f"{p:.1%}" for p in chances[:, target].tolist())
    return Drawing(
        "attacked_image",
        figure,
        f"A change of at most {255 * largest:.3g} of 255 grey levels takes the probability of the "
        f"true class, {classes[target]}, from {first} to {last}; the network now says "
        f"{classes[chances[1].argmax()]}.",
        "The image as it is, the image attacked, their difference enlarged until it can be seen, "
        "and bars of the largest probabilities before and after.",
    )
