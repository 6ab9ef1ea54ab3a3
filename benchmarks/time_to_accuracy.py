"""Wall time from decoded data in memory to a finished evaluation at the target accuracy.

Each recipe's schedule is fixed beforehand; the test split is read once, after its last step. The
baseline is the course's 20 epochs, of which some are measured and the rest scaled.
"""

import argparse
from statistics import mean
import time

from benchmarks import baseline
from benchmarks.common import Row, cifar10, course, run, say
from lab_utils.core.params import load_settings
from lab_utils.core.settings import Settings
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Dataset, Split
from lab_utils.model.predict import accuracy, predict
from lab_utils.setup import hardware
from lab_utils.setup.hardware import Machine
from lab_utils.training.fit import EVAL_BATCH
from lab_utils.training.loop import Training

TARGETS = {"simple_fast": 0.7984, "sprint": 0.7984, "ninety_four": 0.94}


def train_and_test(
    settings: Settings, dataset: Dataset, test: Split, machine: Machine
) -> tuple[float, float]:
    """Seconds of model building, training and evaluation; and the test accuracy."""
    hardware.synchronize(machine.device)
    start = time.perf_counter()
    training = Training(settings, dataset, machine)
    for _ in range(settings.epochs):
        training.epoch()
    evaluation = Batches(test, EVAL_BATCH, dataset.normalization, machine.device)
    reached = accuracy(*predict(training.judged, evaluation, machine, settings.tta))
    return time.perf_counter() - start, reached


def measure(arguments: argparse.Namespace) -> list[Row]:
    """Mean seconds over the seeds, against the course's recipe on this machine."""
    dataset, test = cifar10()
    dataset.normalization  # noqa: B018 — computed once, before any clock runs
    course_epochs, rows = [], []
    with course() as their_epoch:
        for name in arguments.experiments:
            settings = load_settings(name, data="cifar10")
            machine = hardware.choose(settings)
            seconds, accuracies = [], []
            for seed in range(arguments.seeds):
                # Alternate: a machine that changes its speed does so for both sides.
                if len(course_epochs) < arguments.course_epochs:
                    course_epochs.append(their_epoch())
                    say(f"course epoch {len(course_epochs)}: {course_epochs[-1]:.1f} s")
                seeded = settings.model_copy(update={"seed": seed})
                spent, reached = train_and_test(seeded, dataset, test, machine)
                seconds.append(spent)
                accuracies.append(reached)
                say(f"{name}, seed {seed}: {spent:.1f} s, {reached:.2%}")
            target = TARGETS.get(name, 0.7984)
            # 94% is a mean by custom (airbench); the course's figure every seed must reach.
            met = mean(accuracies) >= target if target == 0.94 else min(accuracies) >= target
            what = (
                f"{name}: mean {mean(accuracies):.2%}, lowest {min(accuracies):.2%}, "
                f"{'reaches' if met else 'MISSES'} {target:.2%}"
            )
            rows.append((what, mean(seconds)))
    course_seconds = baseline.EPOCHS * mean(course_epochs)
    say(f"course: {len(course_epochs)} epochs measured, scaled to {baseline.EPOCHS}")
    return [
        Row(what, ours, course_seconds, course_seconds / ours, arguments.seeds)
        for what, ours in rows
    ]


if __name__ == "__main__":
    run(
        "time_to_accuracy",
        measure,
        experiments=(["simple_fast", "sprint", "ninety_four"], "recipes of params.yaml"),
        seeds=(3, "seeds of each recipe"),
        course_epochs=(2, "epochs of the course's recipe to measure"),
    )
