"""What a model predicts, and how many of its answers are right."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lab_utils.core.settings import Settings
from lab_utils.data.dataset import Normalization, Split
from lab_utils.model.predict import accuracy, count_correct, first_batch, layer_outputs, predict
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


def test_only_where_two_classes_are_close_are_more_views_asked():
    """Close: the second is more than half as likely as the first, log 2 = 0.69 in the logits."""
    image = torch.zeros(3, 4, 4)
    sure, unsure = image.clone(), image.clone()
    sure[0, 0, 1], unsure[0, 0, 1] = 0.7, 0.69
    together = [(torch.stack([sure, unsure, sure]), torch.zeros(3, dtype=torch.int64))]
    logits, plain, averaged = (
        predict(TopLeft(), together, MACHINE, tta)[0] for tta in ("unsure", "none", "flip_shift")
    )
    assert torch.equal(logits[[0, 2]], plain[[0, 2]])
    assert torch.equal(logits[1], averaged[1])
    assert not torch.equal(plain[1], averaged[1])


def test_the_machines_precision_computes_and_the_logits_are_float32():
    model, kinds = nn.Sequential(nn.Conv2d(3, 2, 4), nn.Flatten()), []
    model[0].register_forward_hook(lambda _, inputs, output: kinds.append(output.dtype))
    images = batches(torch.randn(3, 4, 4))
    for dtype in (torch.float32, torch.bfloat16):
        logits, _ = predict(model, images, replace(MACHINE, dtype=dtype))
        assert logits.dtype == torch.float32
    assert kinds == [torch.float32, torch.bfloat16]


def test_a_first_batch_is_normalised_and_no_longer_than_the_split():
    images = torch.stack([torch.full((3, 4, 4), value) for value in (0, 51, 255)]).to(torch.uint8)
    split = Split(images, torch.tensor([2, 1, 0]))
    normalization = Normalization(mean=(0.2,) * 3, std=(0.4,) * 3)
    inputs, targets = first_batch(split, 2, normalization, MACHINE)
    torch.testing.assert_close(inputs[:, 0, 0, 0], torch.tensor([-0.5, 0.0]))
    assert targets.tolist() == [2, 1]
    assert len(first_batch(split, 64, normalization, MACHINE)[1]) == 3


def test_layers_give_out_what_they_do_in_evaluation_and_the_model_stays_as_it_was():
    model = nn.Sequential(nn.Dropout(0.9), nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())).train()
    images = torch.randn(2, 3, 4, 4)
    outputs = layer_outputs(model, images, ["1.1", "0"])
    np.testing.assert_array_equal(outputs["0"], images[0])  # nothing is dropped
    expected = model[1](images[:1])[0].detach()
    np.testing.assert_allclose(outputs["1.1"], expected, atol=1e-6)
    assert model.training
    outputs.clear()
    model(images)
    assert outputs == {}  # no hook is left
