"""Does bfloat16 cost accuracy? The same trainings in bfloat16 and in float32, seed by seed."""

import argparse

from scipy import stats

from benchmarks.common import Row, cifar10, run, say
from benchmarks.time_to_accuracy import train_and_test
from lab_utils import LabError
from lab_utils.core.params import load_settings
from lab_utils.setup import hardware


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Test accuracy in percent and seconds; ours is bfloat16, the baseline float32.

    The interval is the 95% one of the mean difference, pairing the trainings of one seed (t test).
    """
    if arguments.seeds < 2:
        raise LabError("An interval takes two seeds at least; use --seeds 2 or more.")
    settings = load_settings(arguments.experiment, data="cifar10")
    sides = [settings.model_copy(update={"precision": p}) for p in ("bfloat16", "float32")]
    machines = [hardware.choose(side) for side in sides]  # complains before anything is trained
    dataset, test = cifar10(arguments.images)
    dataset.normalization  # noqa: B018 — computed once, before any clock runs
    rows, seconds, accuracies = [], [], []
    for seed in range(arguments.seeds):
        found = [
            train_and_test(side.model_copy(update={"seed": seed}), dataset, test, machine)
            for side, machine in zip(sides, machines, strict=True)
        ]
        spent, reached = zip(*found, strict=True)
        seconds.append(spent)
        accuracies.append([100 * accuracy for accuracy in reached])
        ours, theirs = accuracies[-1]
        say(f"seed {seed}: {ours:.2f}% in {spent[0]:.1f} s, {theirs:.2f}% in {spent[1]:.1f} s")
        rows.append(Row(f"test accuracy, seed {seed}", ours, theirs, ours / theirs, 1))
    test_of_pairs = stats.ttest_rel(*zip(*accuracies, strict=True))
    low, high = test_of_pairs.confidence_interval(0.95)
    (ours, theirs), (fast, slow) = (
        [sum(side) / arguments.seeds for side in zip(*values, strict=True)]
        for values in (accuracies, seconds)
    )
    # Where no seed differs at all there is no interval: neither end is a number.
    within = "a real difference" if low > 0 or high < 0 else "within noise"
    difference = f"{ours - theirs:+.2f} points, 95% [{low:+.2f}, {high:+.2f}], {within}"
    rows.append(Row(f"mean: {difference}", ours, theirs, ours / theirs, arguments.seeds))
    what = f"{arguments.experiment}, mean seconds"
    return [*rows, Row(what, fast, slow, slow / fast, arguments.seeds)]


if __name__ == "__main__":
    run(
        "precision",
        measure,
        experiment=("simple_fast", "recipe of params.yaml"),
        seeds=(3, "trainings in each precision"),
        images=(50_000, "training images"),
    )
