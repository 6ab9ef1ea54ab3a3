"""The grids of images, and a figure that is drawn twice."""

from io import BytesIO

import numpy as np
from PIL import Image
import pytest

from lab_utils.core import drawing
from lab_utils.setup.image_grid import image_grid

RED, GREEN, BLUE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def filled(color, height=8, width=8):
    return np.full((height, width, 3), color, np.uint8)


def drawn(figure):
    """The pixels of the figure as a notebook shows it."""
    return np.asarray(Image.open(BytesIO(figure._repr_png_())).convert("RGB"))


def box(pixels, color):
    """Top, bottom, left and right of what has ``color``."""
    rows, columns = np.nonzero((pixels == color).all(2))
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def test_a_grid_has_every_image_whole_at_its_place():
    images = [filled(RED), filled(GREEN), filled(BLUE, 4, 8)]
    pixels = drawn(image_grid(images, ["one", "two\nlines", "three"], columns=2, size=1.0))
    red, green, blue = (box(pixels, color) for color in (RED, GREEN, BLUE))
    assert red[:2] == pytest.approx(green[:2], abs=1) and red[3] < green[2]  # side by side
    assert red[1] < blue[0] and red[2] == pytest.approx(blue[2], abs=1)  # one below the other
    side = red[1] - red[0]
    assert red[3] - red[2] == pytest.approx(side, abs=1) and side == pytest.approx(96, rel=0.05)
    assert blue[1] - blue[0] == pytest.approx(side / 2, abs=1)  # not stretched
    for top, bottom, left, right in (red, green, blue):  # each is whole and has no hole
        assert len(np.unique(pixels[top:bottom, left:right].reshape(-1, 3), axis=0)) <= 2
    above = pixels[: red[0], red[2] : red[3]]
    assert (above < 128).all(2).any()  # the title is there, and does not cover the image


def test_a_grid_that_is_not_full_leaves_the_rest_white():
    pixels = drawn(image_grid([filled(RED)] * 3, ["a"] * 3, columns=2))
    rows, columns = (side // 2 for side in pixels.shape[:2])
    assert (pixels[rows + 10 :, columns + 10 :] == 255).all()


@pytest.mark.parametrize("file", ["svg", "png"])
def test_a_figure_that_was_saved_is_shown_with_the_same_layout(file):
    def figure():
        made, axes = drawing.new_figure(4, 3, 1, 2, sharey=True)
        for ax in axes:
            ax.plot([1, 2], [1000, 2000])
            ax.set(title="A title", xlabel="a label", ylabel="another")
        return made

    fresh, saved = figure(), figure()
    saved.savefig(BytesIO(), format=file, dpi=160, bbox_inches="tight")
    assert drawn(saved).shape == pytest.approx(drawn(fresh).shape, abs=3)  # letters are hinted
    for one, other in zip(fresh.axes, saved.axes, strict=True):
        assert one.get_position().bounds == pytest.approx(other.get_position().bounds, abs=0.02)


@pytest.mark.parametrize("name", ["$\\frac{1$", "a$b$c", "5 $"])
def test_a_dollar_in_a_name_is_a_dollar(name):
    figure = image_grid([np.zeros((2, 2, 3), np.uint8)], [name])
    svg = drawing.Drawing("names", figure, "A caption.", "A text.").encode()
    assert b"<svg" in svg or svg.startswith(b"\x89PNG")
    assert figure.axes[0].texts[0].get_text() == name
    assert not figure.axes[0].texts[0].get_parse_math()
