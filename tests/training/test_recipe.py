"""What a small training is made of."""

from dataclasses import replace

import pytest
import torch
from toy import toy

from lab_utils.data.dataset import Split
from lab_utils.training.recipe import few_images, one_thread


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
