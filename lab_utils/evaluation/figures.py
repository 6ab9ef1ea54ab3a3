"""The figures of notebook 05: where the model is right, where it is wrong, and how sure it is."""

from collections.abc import Sequence

import matplotlib
from matplotlib.ticker import PercentFormatter
import numpy as np
import pandas as pd
import seaborn as sns
from torch import Tensor

from lab_utils.core import drawing
from lab_utils.core.drawing import BLUE, GRAY, HALF, ORANGE, RED, Drawing, new_figure, styled
from lab_utils.core.image_grid import image_grid
from lab_utils.data.dataset import Split
from lab_utils.evaluation.findings import most_frequent_error, sureness
from lab_utils.evaluation.metrics import Bin, ClassScores, calibration_error, confused_pairs

FEW = 20  # images, in a bin that tells too little
SURE = 0.9  # the probability from which on a mistake counts as confident


def short(name: str, length: int = 12) -> str:
    """``name``, cut where it is too long for a small title."""
    return name if len(name) <= length else name[: length - 1] + "…"


@styled
def confusion_matrix(counts: np.ndarray, classes: Sequence[str]) -> Drawing:
    """(K, K) ``counts`` in percent of each true class (row); colour is for the errors alone."""
    k, support, names = len(classes), counts.sum(1), [short(name) for name in classes]
    rows = [f"{name} ({n:,})" for name, n in zip(names, support, strict=True)]
    percent = 100 * counts / np.maximum(support, 1)[:, None]
    errors = np.where(np.eye(k), -1, percent)  # below the scale of the colours
    texts = np.array([[f"{v:.1f}" if v else "" for v in row] for row in percent])
    written = k <= 12
    figure, ax = new_figure(5.2, 4.2)
    sns.heatmap(
        pd.DataFrame(errors, rows, names), ax=ax, square=True, vmin=0, vmax=max(1.0, errors.max()),
        cmap=matplotlib.colormaps["Blues"].with_extremes(under="#eeeeee"),
        annot=texts if written else None, fmt="", annot_kws={"fontsize": 7},
        cbar=not written,  # a colour needs its scale where no number stands in it
        cbar_kws={"shrink": 0.6, "label": "percent of the true class"},
    )  # fmt: skip
    ax.tick_params(axis="x", length=0, labelsize=7.5, rotation=90)
    ax.tick_params(axis="y", length=0, labelsize=7.5, rotation=0)
    ax.grid(visible=False)
    ax.set(xlabel="predicted class", ylabel="true class (images)")
    return Drawing(
        "confusion_matrix",
        figure,
        f"Confusion matrix of {counts.sum():,} test images, in percent of each true class; the "
        f"errors are coloured. {most_frequent_error(confused_pairs(counts, classes, 1))}",
        f"Heatmap with {k} rows of true and {k} columns of predicted classes; "
        f"{counts.trace() / counts.sum():.0%} of the images lie on the gray diagonal.",
    )


@styled
def per_class(rows: Sequence[ClassScores]) -> Drawing:
    """Each class's accuracy (its recall) with its interval, and its precision; best on top."""
    frame = pd.DataFrame(rows).sort_values("recall", ascending=False, kind="stable")
    overall = np.average(frame.recall, weights=frame.support)
    ends = frame[["low", "high"]].sub(frame.recall, axis=0).abs().T.to_numpy()
    places, names = range(len(rows)), [short(name, 20) for name in frame["name"]]
    figure, ax = new_figure(HALF[0], 0.9 + 0.2 * len(rows))
    ax.barh(places, frame.recall, 0.7, xerr=ends, capsize=2, tick_label=names, color=BLUE)
    ax.plot(frame.precision, places, "D", color=ORANGE, markersize=4.5, label="precision")
    ax.axvline(overall, color=GRAY, linestyle="--", linewidth=1.2, label="all classes")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="accuracy on the images of the class")
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=2)
    best, worst = frame.iloc[0], frame.iloc[-1]
    return Drawing(
        "per_class",
        figure,
        "Accuracy of each class on the test images with its 95% interval: from "
        f"{worst.recall:.1%} ({worst['name']}) to {best.recall:.1%} ({best['name']}), "
        f"{overall:.1%} over all.",
        f"Horizontal bars of accuracy for {len(rows)} classes, best on top, each with an error bar "
        "and a diamond for its precision; a dashed line marks all classes.",
    )


def predictions(split: Split, logits: Tensor, classes: Sequence[str], which: Tensor) -> Drawing:
    """The images ``which`` (n,) of ``split``, chosen without looking, with the answers to them."""
    hits = int((logits.argmax(1) == split.targets)[which].sum())
    return Drawing(
        "predictions",
        _answers(split, logits, classes, which),
        f"{len(which)} test images at equal distances through the split with the prediction and "
        f"its probability; {hits} are right.",
        f"A grid of {len(which)} small images with titles, {hits} blue for a correct prediction, "
        "the others red with a cross.",
    )


def mistakes(split: Split, logits: Tensor, classes: Sequence[str], which: Tensor) -> Drawing:
    """The images ``which`` (n,) of ``split``, the mistakes that the model is surest of."""
    wrong = logits.argmax(1) != split.targets
    sure = int((logits.softmax(1).amax(1)[wrong] > SURE).sum())
    return Drawing(
        "mistakes",
        _answers(split, logits, classes, which),
        f"The {len(which)} mistakes that the model is surest of. {sure:,} of {int(wrong.sum()):,} "
        f"wrong predictions have a probability above {SURE:.0%}.",
        f"A grid of {len(which)} small images with red titles: the wrong class and its "
        "probability, below it the true class.",
    )


def _answers(
    split: Split, logits: Tensor, classes: Sequence[str], which: Tensor
) -> drawing.LabFigure:
    """Each image below its prediction, with the confidence, and its true class."""
    if not len(which):
        white = np.ones((1, 8, 3))
        return image_grid([white], ["There is no such image."])
    titles, colors = [], []
    confidence, predicted = logits[which].softmax(1).max(1)
    for p, c, t in zip(predicted, confidence, split.targets[which], strict=True):
        true = "correct" if p == t else f"✗ is {short(classes[t])}"
        titles.append(f"{short(classes[p])} {c:.0%}\n{true}")
        colors.append(BLUE if p == t else RED)
    images = split.images[which].permute(0, 2, 3, 1).numpy()
    return image_grid(images, titles, min(8, len(images)), size=1.0, colors=colors)


@styled
def calibration(
    before: Sequence[Bin], after: Sequence[Bin], temperature: float, fitted_on: int
) -> Drawing:
    """Accuracy over confidence before and after scaling, above the images in each bin before it.

    ``temperature`` was ``fitted_on`` so many images; a bin of fewer than ``FEW`` has no point.
    """
    figure, (above, below) = new_figure(5.2, 3.6, 2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], "--", color="black", linewidth=1.2, label="perfect")
    for bins, look, name in ((before, "o-", "as trained"), (after, "s-", "after scaling")):
        points = np.array([(b.confidence, b.accuracy) for b in bins if b.count >= FEW])
        above.plot(*points.reshape(-1, 2).T, look, markersize=4.5, label=name)
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    above.legend(loc="upper left")
    edges = [*(b.lower for b in before), before[-1].upper]
    below.stairs([b.count for b in before], edges, fill=True, color=GRAY)
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.set(ylabel="images", xlabel="confidence (probability of the predicted class)")
    return Drawing(
        "calibration",
        figure,
        "Reliability of the probabilities on the test images. The expected calibration error is "
        f"{calibration_error(before):.3f}; {sureness(before)}. Scaling by T = {temperature:.2f}, "
        f"fitted on {fitted_on:,} validation images, takes the error to "
        f"{calibration_error(after):.3f}.",
        "Above, accuracy over confidence: a curve as trained, one after temperature scaling, and "
        f"the diagonal; below, the number of images in each of {len(before)} bins.",
    )
