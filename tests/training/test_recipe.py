"""What a small training is made of."""

from dataclasses import replace

import pytest
import torch
from toy import CPU, toy

from lab_utils.data.dataset import Split
from lab_utils.training.loop import Training
from lab_utils.training.recipe import few_images, hyperparameters, one_thread, while_training

PLAIN = {"flip": False, "crop_padding": 0}


@pytest.mark.parametrize(("most", "kept"), [(102, 102), (51, 51), (50, 34), (1, 1), (5000, 102)])
def test_few_images_are_at_equal_distances_and_of_the_whole_split(dataset, most, kept):
    few = few_images(dataset, most, 10)
    assert len(few.train) == kept <= most
    every = 102 // kept
    assert torch.equal(few.train.images, dataset.train.images[::every])
    assert torch.equal(few.train.targets, dataset.train.targets[::every])
    assert len(few.val) == 10


def test_large_images_become_small(dataset):
    pixels = toy(8, 0).images.repeat(1, 1, 4, 5)  # 64 by 80 pixels
    large = replace(dataset, train=Split(pixels, torch.zeros(8, dtype=torch.int64)))
    assert few_images(large, 8, 30).train.images.shape == (8, 3, 32, 40)


def test_one_thread_computes_meanwhile_and_then_as_many_as_before():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert torch.get_num_threads() == 1
        _ = 1 / 0
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "with dropout and augmentation"),
        (PLAIN, "with dropout"),
        (PLAIN | {"cutmix": 1.0}, "with dropout and augmentation"),
        ({"model": "resnet20"}, "with augmentation"),
        (PLAIN | {"model": "resnet20"}, "while the weights changed"),
    ],
)
def test_what_pulls_the_training_accuracy_down_is_named(dataset, settings, changes, words):
    assert while_training(Training(settings.model_copy(update=changes), dataset, CPU)) == words


def test_a_hyperparameter_is_told_with_what_it_means_for_these_images(dataset, settings):
    rows = {row.name: row for row in hyperparameters(Training(settings, dataset, CPU))}
    assert (rows["batch_size"].value, rows["lr"].value) == ("32", "0.003")
    assert rows["batch_size"].reason.startswith("4 steps an epoch. ")
    assert rows["epochs"].reason.startswith("12 steps in all. ")
    # 50 points over the root of 30 images
    assert "30 images; accuracy on them has a standard error of at most 9.1 points. " in (
        rows["val_fraction"].reason
    )
    jitter = settings.model_copy(update={"color_jitter": (0.1, 0.2, 0.3, 0.05)})
    (row,) = (
        row for row in hyperparameters(Training(jitter, dataset, CPU)) if row.name == "color_jitter"
    )
    assert row.value == "0.1/0.2/0.3/0.05"
