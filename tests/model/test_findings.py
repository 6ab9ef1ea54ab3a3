"""What notebook 03 says of a run is computed from what the run found."""

import math

import numpy as np
import pytest
import torch

from lab_utils.model import findings
from lab_utils.model.costs import Costs
from lab_utils.model.networks import build
from lab_utils.model.summary import summarize

LEAN = Costs("compactnet", 200, 100, 812, 66, 11.0, 2.0, 1.1, 6.0)
PLAIN = Costs("compactnet_standard", 500, 500, 2304, 66, 22.0, 4.0, 1.0, 12.0)


def test_the_shares_of_convolutions_and_linear_layers_are_those_of_the_hand_calculation():
    text = findings.where(summarize(build("simplecnn")))
    convolutions, linear = 896 + 18_496 + 73_856, 524_544 + 2_570
    assert "**620,810 parameters**, 2.49 MB" in text and "**21.70 million operations**" in text
    assert f"hold {convolutions / 620_810:.1%} of the parameters and do 95.1%" in text
    assert f"the linear layers hold {linear / 620_810:.1%} and do 4.9%" in text
    assert "22 x 22 pixels of 32 x 32." in text
    assert "109 x 109 pixels, more than the whole image." in findings.where(
        summarize(build("resnet18"))
    )


def test_the_layers_are_listed_with_their_shapes():
    text = repr(findings.layers_table(summarize(build("simplecnn")).layers))
    assert "output shape" in text and "128 x 4 x 4" in text and "9,437,184" in text


def test_a_spread_of_logits_raises_the_loss_that_is_expected():
    logits = torch.tensor([[1.0, -1.0], [3.0, 1.0]])  # deviation √2 in both
    text = findings.untrained(0.9, math.log(2), logits)
    assert "**0.900**, guessing 0.693" in text
    assert f"deviation of 1.41, so about {math.log(2) + 1:.3f}" in text


def test_the_deviation_of_an_output_grows_with_the_root_of_its_products():
    weight = torch.tensor([0.5, -0.5]).repeat(54).view(4, 3, 3, 3)
    deviation = weight.std().item()
    text = findings.drawn_filters(weight)
    assert "a sum of 27 products" in text
    assert f"= {deviation * 27**0.5:.2f}." in text


def test_a_map_with_one_value_is_silent():
    ramp = np.arange(4.0).reshape(1, 2, 2)
    maps = {"early": ramp.repeat(3, 0), "late": np.concatenate([ramp, 0 * ramp, 0 * ramp + 7])}
    assert findings.silent_maps(maps).endswith("0 of 3 after `early`, 2 of 3 after `late`.")


def test_losses_are_told_as_probabilities_and_as_they_are():
    text = findings.learned_by_heart([2.3, 0.5, -math.log(0.98)], math.log(4))
    assert "After 2 steps" in text and "98.0%" in text and "guessing gives 25.0%" in text
    text = findings.stuck([2.3, 1.9, 1.66], 2.303)
    assert text == "Loss 2.30 at first, 1.66 after 2 steps; guessing costs 2.30."


def test_the_networks_are_compared_on_paper_and_on_the_clock():
    assert findings.growth([PLAIN, LEAN]) == (
        "From the cheapest (compactnet) to the dearest (compactnet_standard) the operations grow "
        "5.0-fold, the time of a training step 2.0-fold."
    )
    table = repr(findings.costs_table([PLAIN, LEAN]))
    assert table.index("compactnet_standard") < table.rindex("compactnet ") and "22.0" in table
    assert "1.10" in repr(findings.twins_table(LEAN, PLAIN))


@pytest.mark.parametrize("side", [32, 16])
def test_what_we_found_is_drawn_from_the_record(side):
    found = findings.what_we_found({
        "name": "simplecnn", "parameters": 620_810, "flops": 21_697_536, "macs": 10_848_768,
        "image_shape": [3, side, side], "receptive_field": 22, "untrained_loss": 2.306,
        "expected_untrained_loss": 2.303, "twins": (LEAN, PLAIN),
        "overfit": {"images": 64, "steps": 24, "first_loss": 2.33, "last_loss": 0.008},
    })  # fmt: skip
    beyond = {32: "22 x 22 pixels of 32 x 32.", 16: "22 x 22 pixels, more than the whole image."}
    for words in (
        "620,810 parameters, 21.70 million operations (10.85 million multiply-adds)",
        beyond[side], "guessing costs 2.303", "64 images by heart in 24 steps (loss 0.008)",
        "saves 60% of its twin's parameters", "110% of the time for one image and 50% for 128",
    ):  # fmt: skip
        assert words in " ".join(found.split())
    assert all(line.startswith(("- ", "  ")) for line in found.splitlines())
