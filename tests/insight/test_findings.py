"""The sentences of 09 say what the numbers say."""

import pytest
import torch

from lab_utils.insight import figures, findings
from lab_utils.insight.corruptions import Accuracy
from lab_utils.insight.gradcam import Look


def accuracy(correct, damage="none", strength=0.0):
    return Accuracy.of(torch.arange(100) < correct, damage, strength)


def test_the_surest_mistake_is_the_wrong_answer_of_highest_probability():
    predicted, targets = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0])
    said = findings.surest_mistake(predicted, targets, torch.tensor([0.9, 0.5, 0.625]))
    assert said == "2 of 3 test images are wrong; the surest mistake has a probability of 62.5%."
    said = findings.surest_mistake(targets, targets, torch.ones(3))
    assert said == "0 of 3 test images are wrong."


@pytest.mark.parametrize(("cells", "words"), [(4, "25% lies in the central"), (2, "Maps of 2x2")])
def test_heat_is_placed_where_the_maps_are_fine_enough(cells, words):
    look = Look(torch.ones(1, 8, 8), torch.zeros(1, 1, cells, cells))
    assert words in findings.heat(look)


def test_the_worst_and_the_mildest_damage_are_named_in_words():
    rows = [
        accuracy(70, "jpeg", 75), accuracy(68, "noise", 8), accuracy(20, "blur", 2.0),
    ]  # fmt: skip
    said = findings.damage(rows, accuracy(72))
    assert "Blur of 2 pixels leaves 20.0%, JPEG of quality 75 70.0%" in said
    assert "for 2 of 3 kinds" in said


@pytest.mark.parametrize(
    ("pgd", "words"), [((60, 30, 5), "from 4 grey levels on"), ((60, 30, 20), "at none of these")]
)
def test_the_attack_says_from_where_on_the_model_does_worse_than_guessing(pgd, words):
    strengths = (0, 2, 4)
    rows = [accuracy(n, "FGSM", e) for n, e in zip((60, 40, 15), strengths, strict=True)]
    rows += [accuracy(n, "PGD", e) for n, e in zip(pgd, strengths, strict=True)]
    said = findings.attack(rows, 0.1)
    assert "FGSM leaves 40.0% right and PGD 30.0%, of 60.0%" in said
    assert words in said
    assert findings.at_strong(rows) == {"FGSM": 0.4, "PGD": 0.3}


def test_gradients_are_told_by_first_and_last_layer_and_the_largest_step():
    slopes, moves = [[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.01, 0.03]]
    said = findings.gradients(slopes, moves)
    assert "first layer has a length of 1, that of the last layer 2; in step 2 3 and 4" in said
    assert said.endswith(
        "The largest step is number 2: it moves the median layer by 2.0% of its length."
    )
    drawing = figures.gradients(slopes, moves)
    assert "The first 2 steps" in drawing.caption and "each of 2 layers" in drawing.caption
    assert len(drawing.figure.axes[0].lines) == 2
