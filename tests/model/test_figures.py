"""The figures of notebook 03 say what they show, and what was found is drawn from the record."""

import numpy as np

from lab_utils.model.figures import feature_maps, overfit
from lab_utils.model.summary import Costs, what_we_found


def test_feature_maps_count_what_is_above_zero_and_name_each_scale():
    image = np.zeros((32, 32, 3), np.uint8)
    maps = {"early": np.ones((4, 16, 16)), "late": np.array([[[1.0, 0.0], [0.0, 0.0]]])}
    drawing = feature_maps(image, "horse", maps, "ReLU", "untrained")
    assert (drawing.name, drawing.file) == ("feature_maps", "figures/feature_maps.png")
    assert "after each of 2 ReLU layers of the untrained network" in drawing.caption
    assert "100%, 25% of the values are above zero; the ReLU has set" in drawing.caption
    assert "Each map has its own scale" in drawing.caption
    assert "2 rows" in drawing.alt
    assert len(drawing.figure.axes[0].images) == 2 + 4 + 1  # the image twice, then the maps


def test_a_batch_learned_by_heart_is_told_from_the_first_loss_to_the_last():
    drawing = overfit([2.31, 0.5, 0.0123], guessing=2.303, images=64)
    assert drawing.file == "figures/overfit.svg"
    assert "64 images, trained on 3 times: from 2.31 to 0.012" in drawing.caption
    assert "from 2.31" in drawing.alt and "0.012" in drawing.alt


def test_what_we_found_is_drawn_from_the_record():
    lean = Costs("compactnet", 200, 100, 812, 66, 11.0, 2.0, 1.1, 6.0)
    plain = Costs("compactnet_standard", 500, 500, 2304, 66, 17.0, 4.0, 1.0, 12.0)
    found = what_we_found({
        "name": "simplecnn", "parameters": 620_810, "flops": 21_697_536, "macs": 10_848_768,
        "image_shape": [3, 32, 32], "receptive_field": 22, "untrained_loss": 2.306,
        "expected_untrained_loss": 2.303, "twins": [lean, plain],
        "overfit": {"images": 64, "steps": 24, "first_loss": 2.33, "last_loss": 0.008},
    })  # fmt: skip
    for words in (
        "620,810 parameters, 21.70 million operations (10.85 million multiply-adds)",
        "22 x 22 pixels.", "guessing costs 2.303", "64 images by heart in 24 steps (loss 0.008)",
        "saves 60% of its twin's parameters", "110% of the time for one image and 50% for 128",
    ):  # fmt: skip
        assert words in " ".join(found.split())
    assert all(line.startswith(("- ", "  ")) for line in found.splitlines())
