"""The figures of notebook 03 say what they show."""

import warnings

import numpy as np
import torch

from lab_utils.data.dataset import Split
from lab_utils.model.figures import feature_maps, filters, kernel, overfit


def test_feature_maps_count_what_is_above_zero_and_name_each_scale():
    images = torch.stack([torch.full((3, 32, 32), 9), torch.zeros(3, 32, 32)]).to(torch.uint8)
    split, classes = Split(images, torch.tensor([1, 0])), ("frog", "big_horse")
    maps = {"early": np.ones((4, 16, 16)), "late": np.array([[[1.0, 0.0], [0.0, 0.0]]])}
    drawing = feature_maps(split, classes, maps, "ReLU", "untrained")
    assert (drawing.name, drawing.file) == ("feature_maps", "figures/feature_maps.png")
    assert "after each of 2 ReLU layers of the untrained network" in drawing.caption
    assert "100%, 25% of the values are above zero; the ReLU has set" in drawing.caption
    assert "Each map has its own scale" in drawing.caption
    assert "image (big horse)" in drawing.caption
    assert "2 rows" in drawing.alt
    drawn = drawing.figure.axes[0].images
    assert len(drawn) == 2 + 4 + 1  # the image twice, then the maps
    assert (np.asarray(drawn[0].get_array()) == 9).all()


def test_a_batch_learned_by_heart_is_told_from_the_first_loss_to_the_last():
    drawing = overfit([2.31, 0.5, 0.0123], guessing=2.303, images=64)
    assert drawing.file == "figures/overfit.svg"
    assert (
        "64 images, trained on 2 times, on a logarithmic axis: from 2.31 to 0.012"
        in drawing.caption
    )
    assert "from 2.31" in drawing.alt and "0.012" in drawing.alt


def tiles(drawing):
    """The drawn filters by their place, (row, column)."""
    grid = drawing.figure.axes[0]
    places = [(-round(np.mean(tile.get_extent()[2:]) / 1.06 + 0.5), tile) for tile in grid.images]
    return {
        (row, int(np.mean(tile.get_extent()[:2]) / 1.06)): np.asarray(tile.get_array())
        for row, tile in places
    }


def test_a_filter_is_drawn_in_the_colours_of_its_weights_with_zero_in_the_middle():
    bank = torch.zeros(2, 3, 2, 2)
    bank[0, 0, 0, 1] = 4.0  # red, top right
    bank[1, 2] = torch.tensor([[-0.1, 0.05], [0.0, 0.1]])  # blue; its own scale
    drawn = tiles(filters(bank))
    assert drawn[0, 0][0, 1].tolist() == [1.0, 0.5, 0.5]
    assert drawn[0, 0][1, 0].tolist() == [0.5, 0.5, 0.5]
    np.testing.assert_allclose(drawn[0, 1][..., 2], [[0.0, 0.75], [0.5, 1.0]])


def test_below_each_filter_is_what_training_made_of_it():
    before = torch.randn(40, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    after = torch.ones(40, 3, 3, 3)
    after[:, :, 0] = -1  # smooth: neighbours are mostly alike
    drawing = filters(before, after)
    drawn = tiles(drawing)
    assert sorted({row for row, _ in drawn}) == [0, 1, 2, 3] and len(drawn) == 64
    for index in (0, 15, 16, 31):
        above = (2 * (index // 16), index % 16)
        expected = before[index].permute(1, 2, 0) / before[index].abs().max()
        np.testing.assert_allclose(drawn[above], 0.5 + expected / 2, atol=1e-6)
        assert set(np.unique(drawn[above[0] + 1, above[1]])) == {0.0, 1.0}
    assert "first 32 of 40 filters" in drawing.caption and "3 x 3 pixels" in drawing.caption
    assert drawing.name == "learned_filters" != filters(before).name
    cosine = torch.cosine_similarity(before.flatten(1), after.flatten(1)).mean()
    assert f"what became of it is {cosine:.2f} on average" in drawing.caption
    # Of 12 pairs of neighbours 2 are (-1, -1), 7 are (1, 1) and 3 are (-1, 1).
    covariance, variances = 6 / 12 - 2 / 12 * 8 / 12, (1 - (2 / 12) ** 2) * (1 - (8 / 12) ** 2)
    assert f", {covariance / variances**0.5:.2f} after." in drawing.caption


def test_filters_of_other_channels_are_grey_and_said_to_be():
    with warnings.catch_warnings(action="error"):
        drawing = filters(torch.randn(5, 8, 1, 1))
    assert {tile.shape for tile in tiles(drawing).values()} == {(1, 1)}
    assert "mean over their 8 channels, in grey: these are no colours" in drawing.caption
    assert "nan" not in drawing.caption and "correlation" not in drawing.caption
    assert "grey squares" in drawing.alt


def test_a_kernel_is_shown_with_its_weights_and_each_picture_on_its_own_scale():
    image = torch.tensor([[0.0, 0.5, 1.0]] * 3)
    weights = torch.tensor([[-1.0, 0.0, 1.0]] * 3) / 4
    result = (image * -weights).sum().view(1, 1)
    drawing = kernel(image, weights, result, "big_horse", "vertical edges", -1.0)
    picture, table, after = drawing.figure.axes
    assert [text.get_text() for text in table.texts] == ["-0.25", "0", "0.25"] * 3
    assert picture.images[0].get_clim() == (0.0, 1.0)
    assert picture.get_title() == "big horse: 0.00 to 1.00"
    assert after.get_title() == "result: -0.75 to -0.75"
    assert "“vertical edges” with amount -1.0" in drawing.caption
    assert "100% of the results are below zero" in drawing.caption
    assert drawing.file == "figures/kernel.png" and "9 weights" in drawing.alt
