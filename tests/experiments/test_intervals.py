"""The interval of an accuracy has the luck of the seeds and that of the test images."""

from dataclasses import replace
from types import SimpleNamespace

from fabricate import make_tested
import numpy as np
import pytest
from scipy.stats import t

from lab_utils.evaluation.metrics import wilson_interval
from lab_utils.experiments.intervals import interval
from lab_utils.experiments.recipes import group, named


def test_the_interval_has_the_luck_of_the_seeds_and_of_the_images(three_seeds):
    _, quick = three_seeds  # 690 images are right with all seeds, 10 with two, 10 with one
    scores = np.repeat([1, 2 / 3, 1 / 3, 0], [690, 10, 10, 290])
    seeds, images = 0.010**2 / 3, scores.var(ddof=1) / 1000
    freedom = (seeds + images) ** 2 / (seeds**2 / 2 + images**2 / 999)
    half = t.ppf(0.975, freedom) * (seeds + images) ** 0.5
    exactly = pytest.approx((0.700 - half, 0.700 + half), rel=1e-12)
    assert (quick.low, quick.high) == exactly


def test_the_interval_covers_the_truth_nineteen_times_in_twenty():
    """Three seeds and 500 images drawn anew 400 times, with luck of each and of both together."""
    generator, hits = np.random.default_rng(0), 0
    for _ in range(400):
        seeds, images = generator.normal(0, 0.3, (3, 1)), generator.normal(0, 1.5, (1, 500))
        right = seeds + images + generator.normal(0, 1, (3, 500)) > 0  # true in half of all cases
        targets = np.zeros(500, np.uint8)
        results = [
            SimpleNamespace(
                test_accuracy=float(one.mean()), predicted=1 - one, targets=targets,
                test_images=500,
            )
            for one in right
        ]  # fmt: skip
        low, high = interval(results)
        hits += low <= 0.5 <= high
    assert 0.92 <= hits / 400 <= 0.99


def test_where_the_images_are_not_the_same_the_interval_is_wider_and_not_narrower(runs):
    for seed, correct in enumerate((700, 710, 690)):
        make_tested("quick", correct, seed=seed)
    (known,) = named("quick")
    others = [replace(r, targets=np.roll(r.targets, i)) for i, r in enumerate(known.results)]
    (unknown,) = group(others)
    assert unknown.right is unknown.targets is unknown.probabilities is None
    assert unknown.low < known.low < known.high < unknown.high


def test_models_that_are_always_right_leave_no_interval(runs):
    for seed in (0, 1):
        make_tested("quick", 1000, seed=seed)
    (perfect,) = named("quick")
    assert (perfect.low, perfect.high) == (1.0, 1.0)


def test_one_seed_has_wilsons_interval(runs):
    make_tested()
    (only,) = named("quick")
    assert (only.low, only.high) == wilson_interval(700, 1000)
