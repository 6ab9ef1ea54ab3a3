"""How far the accuracy of a recipe is known, from its seeds and its test images."""

from collections.abc import Sequence
from statistics import mean, variance

import numpy as np
from scipy.stats import t

from lab_utils.experiments.results import Result


def interval(results: Sequence[Result]) -> tuple[float, float]:
    """95% interval of a recipe's accuracy, with other seeds and on other images of this kind.

    Seeds and test images are two samples that cross, so the mean's variance has a part from each:
    that of the accuracies by their number, and that of the images' mean scores by theirs. Where a
    model's luck depends on the image, that luck is in both parts, and the interval a little wide,
    as is that of a bootstrap over both (Owen and Eckles, Annals of Applied Statistics 6, 2012,
    arXiv:1106.2125). Its degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946).
    With one seed there is Wilson's interval alone, which has the images' luck and not the seed's.
    """
    first, seeds = results[0], len(results)
    accuracy = mean(r.test_accuracy for r in results)
    if seeds == 1:
        return first.test_accuracy_low, first.test_accuracy_high
    of_images = accuracy * (1 - accuracy)  # it cannot be more, where the images are not the same
    if (known := right(results)) is not None:
        of_images = known.mean(0).var(ddof=1)
    parts = variance([r.test_accuracy for r in results]) / seeds, of_images / first.test_images
    if not sum(parts):  # every model gets every image right, or none
        return accuracy, accuracy
    freedom = sum(parts) ** 2 / (
        parts[0] ** 2 / (seeds - 1) + parts[1] ** 2 / (first.test_images - 1)
    )
    half = float(t.ppf(0.975, freedom) * sum(parts) ** 0.5)
    return max(0.0, accuracy - half), min(1.0, accuracy + half)


def right(results: Sequence[Result]) -> np.ndarray | None:
    """Which model gets which test image right, (seeds, images) bool.

    None where the models were tested on different images.
    """
    targets = results[0].targets
    if any(not np.array_equal(r.targets, targets) for r in results):
        return None
    return np.array([r.predicted == r.targets for r in results])
