"""MixUp and CutMix: targets that tell the shares of the images."""

import pytest
import torch

from lab_utils.data.augment import mixing


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_mixed_targets_sum_to_one_and_tell_the_shares_of_the_images(mixup, cutmix):
    """Image i is all i: what a mixed image holds shows how much of which image is in it."""
    torch.manual_seed(0)
    values = torch.arange(4.0)
    inputs, targets = values.view(-1, 1, 1, 1).expand(4, 3, 32, 32), torch.arange(4)
    added = 0
    for _ in range(40):
        mixed, soft = mixing(mixup, cutmix, 4)(inputs, targets)
        assert soft.shape == (4, 4)
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ values)
        assert (soft > 0).sum(1).max() <= 2
        added += not torch.equal(mixed, mixed.round())
    expected = {(0.4, 0.0): range(35, 41), (0.0, 1.0): range(1)}.get((mixup, cutmix), range(8, 33))
    assert added in expected
