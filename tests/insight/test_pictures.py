"""The figures of 09 that hold images say what was looked at, and what came of it."""

import pytest
import torch

from lab_utils.insight import pictures
from lab_utils.insight.corruptions import CORRUPTIONS
from lab_utils.insight.gradcam import Look

CLASSES = ("a", "b", "a class with a very long name")


def titles(drawing):
    return [text.get_text() for text in drawing.figure.axes[0].texts if text.get_text()]


@pytest.fixture
def look():
    maps = torch.zeros(3, 2, 4, 4)
    maps[:, 0, 1, 1], maps[:, 1, 2, 2] = 0.5, -0.25
    return Look(torch.rand(3, 8, 8, generator=torch.manual_seed(0)), maps)


@pytest.fixture
def images():
    return torch.randint(256, (3, 3, 8, 8), dtype=torch.uint8, generator=torch.manual_seed(0))


def test_a_map_stands_beside_what_it_adds(images, look):
    drawing = pictures.maps(images[0], look, "b")
    assert titles(drawing)[1:3] == ["a map that\nadds +0.50", "a map that\nadds -0.25"]
    assert "the logit of b (about +0.50, -0.25)" in drawing.caption


def test_each_image_has_a_column_with_the_heat_of_two_classes(images, look):
    true, predicted, rival = ("a", "b", CLASSES[2]), ("a", "a", "b"), ("b", "b", "a")
    drawing = pictures.grad_cam(images, [look, look], [true, predicted, rival])
    assert drawing.file == "figures/grad_cam.png"
    assert titles(drawing)[:3] == ["truth: a", "heat: a", "heat: b"]
    assert "truth: a class w…" in titles(drawing)
    assert len(drawing.figure.axes[0].images) == 3 * (1 + 2 * 2)  # the heat lies on the gray image
    assert "maps of 4x4 cells" in drawing.caption
    assert "wrong for 2 of the 3" in drawing.caption


def test_every_damage_is_shown_beside_the_image_as_it_is(images):
    drawing = pictures.damaged(images[0])
    strong = [f"{kind.__name__} {s:g}" for kind, chosen in CORRUPTIONS.items() for s in chosen]
    assert [title for title in titles(drawing) if title != "as it is"] == strong
    assert titles(drawing).count("as it is") == len(CORRUPTIONS)


@pytest.mark.parametrize("levels", [0, 2])
def test_an_attacked_image_tells_what_the_network_says_of_it(images, levels):
    before = images[0] / 512 + 0.2
    chances = torch.tensor([[0.75, 0.25, 0.0], [0.125, 0.375, 0.5]])
    drawing = pictures.attacked_image(before, before + levels / 255, chances, CLASSES, 0)
    assert f"at most {levels} of 255 grey levels" in drawing.caption
    assert "from 75.0% to 12.5%" in drawing.caption
    assert drawing.caption.endswith(f"says {CLASSES[2]}.")
    bars = drawing.figure.axes[3].containers
    assert [[bar.get_width() for bar in way] for way in bars] == [
        [0.75, 0.0, 0.25], [0.125, 0.5, 0.375],
    ]  # fmt: skip
    assert drawing._repr_html_()
