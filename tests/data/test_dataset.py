"""How images are divided into training, validation and test, and what is said of them."""

from fabricate import begin
import numpy as np
import pytest
import torch

from lab_utils import LabError
from lab_utils.data.dataset import channel_statistics, load, load_test


def load_run(**overrides):
    run = begin("02_data", "quick", **overrides)
    return run, load(run)


def test_the_split_is_stratified_disjoint_and_follows_from_the_seed(runs):
    _, one = load_run(data="shapes", name="one")
    _, again = load_run(data="shapes", name="again")
    _, other = load_run(data="shapes", name="other", seed=7)
    assert (len(one.train), len(one.val)) == (9000, 1000)
    assert one.val.targets.bincount().tolist() == [100] * 10
    assert one.train.targets.bincount().tolist() == [900] * 10
    assert torch.equal(one.val.images, again.val.images)
    assert not torch.equal(one.val.images, other.val.images)
    train = {x.numpy().tobytes() for x in one.train.images}
    assert not any(x.numpy().tobytes() in train for x in one.val.images)


def test_train_size_and_test_size_keep_the_classes_in_proportion(runs):
    run, dataset = load_run(data="shapes", train_size=1000, test_size=100)
    assert len(dataset.train) + len(dataset.val) == 1000
    assert load_test(run, dataset).targets.bincount().tolist() == [10] * 10


def test_who_loads_the_images_computes_with_the_threads_of_the_run(runs):
    before = torch.get_num_threads()
    load_run(data="shapes", train_size=200, threads=before + 1)
    assert torch.get_num_threads() == before + 1
    torch.set_num_threads(before)


def test_more_images_than_there_are_is_refused(runs):
    with pytest.raises(LabError, match="20,000 images were asked for and the split has 10,000"):
        load_run(data="shapes", train_size=20_000)


def test_channel_statistics_are_numpys():
    images = torch.randint(0, 256, (50, 3, 8, 8), dtype=torch.uint8)
    mean, std = channel_statistics(images)
    x = images.numpy() / 255
    np.testing.assert_allclose(mean, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, x.std((0, 2, 3)), rtol=1e-12)


def test_a_subset_that_cannot_keep_the_classes_is_one_sentence(runs):
    with pytest.raises(LabError, match="in proportion to 10 classes"):
        load_run(data="shapes", train_size=9_995)


def test_every_image_is_held_out_by_one_fold_and_classes_stay_in_proportion(runs):
    held_out = []
    for fold in range(3):
        settings = {"data": "shapes", "train_size": 200, "folds": 3, "fold": fold}
        _, dataset = load_run(**settings)
        counts = dataset.val.targets.bincount(minlength=10)
        assert set(counts.tolist()) <= {6, 7}
        train = {x.numpy().tobytes() for x in dataset.train.images}
        val = {x.numpy().tobytes() for x in dataset.val.images}
        assert len(train | val) == 200
        held_out.append(val)
        _, again = load_run(**settings, name="again-" + str(fold))
        assert torch.equal(again.val.images, dataset.val.images)
    assert len(set.union(*held_out)) == sum(map(len, held_out)) == 200


def test_more_folds_than_images_of_a_class_are_refused(runs):
    with pytest.raises(LabError, match=r"folds=21 needs as many .* one class has 20; use fewer"):
        load_run(data="shapes", train_size=200, folds=21)
