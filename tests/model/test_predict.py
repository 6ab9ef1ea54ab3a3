"""What a model predicts, and how many of its answers are right."""

import pytest
import torch
from torch import nn

from lab_utils.core.settings import Settings
from lab_utils.model.predict import accuracy, count_correct, predict
from lab_utils.setup.hardware import choose

MACHINE = choose(Settings(experiment="smoke", device="cpu", precision="float32"))


class TopLeft(nn.Module):
    """Its logits are the four pixels in the first row of the red channel."""

    def forward(self, images):
        return images[:, 0, 0, :4]


def batches(*images):
    """Each image (3, 4, 4) as a batch of its own, of class 0."""
    return [(image[None], torch.zeros(1, dtype=torch.int64)) for image in images]


def test_right_answers_are_counted_once_each():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    targets = torch.tensor([0, 1, 1])
    assert count_correct(logits, targets).item() == 2
    assert accuracy(logits, targets) == pytest.approx(2 / 3)


def test_of_a_mixed_image_the_class_with_the_larger_share_counts():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
    assert count_correct(logits, torch.tensor([[0.6, 0.4], [0.7, 0.3]])).item() == 1


def test_logits_come_in_the_order_of_the_batches_and_the_model_stays_as_it_was():
    model = TopLeft().train()
    images = torch.randn(3, 3, 4, 4)
    logits, targets = predict(model, batches(*images), MACHINE)
    assert torch.equal(logits, images[:, 0, 0, :4])
    assert targets.tolist() == [0, 0, 0]
    assert model.training


def test_views_of_an_image_are_averaged():
    image = torch.arange(48.0).view(3, 4, 4)  # red: 0 1 2 3 / 4 5 6 7 / ...

    def averaged(tta):
        return predict(TopLeft(), batches(image), MACHINE, tta)[0][0].tolist()

    assert averaged("none") == [0, 1, 2, 3]
    assert averaged("flip") == [1.5] * 4  # with 3 2 1 0
    # Shifted down and right over a mirrored border the first row is 5 4 5 6, up and left 5 6 7 6.
    down_right, up_left = [5.5, 4.5, 4.5, 5.5], [5.5, 6.5, 6.5, 5.5]
    expected = [1.5 / 2 + (one + other) / 4 for one, other in zip(down_right, up_left, strict=True)]
    assert averaged("flip_shift") == pytest.approx(expected)
