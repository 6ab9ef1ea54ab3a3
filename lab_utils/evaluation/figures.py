"""The figures of notebook 05: where the model is right, where it is wrong, and how sure it is."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.ticker import PercentFormatter
import numpy as np
import pandas as pd
import seaborn as sns
from torch import Tensor

from lab_utils.core import drawing
from lab_utils.core.drawing import BLUE, GRAY, HALF, ORANGE, RED, Drawing, new_figure, styled
from lab_utils.data.dataset import Split
from lab_utils.evaluation.calibration import Scaled
from lab_utils.evaluation.findings import errors, most_frequent_error, sureness
from lab_utils.evaluation.metrics import ClassScores, confused_pairs
from lab_utils.setup.image_grid import image_grid

FEW = 20  # images, in a bin that tells too little
_BARS = 40  # more would be a strip that nobody can read
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
        "errors are coloured, and a cell without a number has none. "
        f"{most_frequent_error(confused_pairs(counts, classes, 1))}",
        f"Heatmap with {k} rows of true and {k} columns of predicted classes; "
        f"{counts.trace() / counts.sum():.0%} of the images lie on the gray diagonal.",
    )


@styled
def per_class(rows: Sequence[ClassScores]) -> Drawing:
    """Each class's accuracy (its recall) with its interval, and its precision; best on top.

    Of more than 40 classes those of the lowest accuracy.
    """
    frame = pd.DataFrame(rows).sort_values("recall", ascending=False, kind="stable")
    overall = np.average(frame.recall, weights=frame.support)
    best, frame = frame.iloc[0], frame.tail(_BARS)
    ends = frame[["low", "high"]].sub(frame.recall, axis=0).abs().T.to_numpy()
    places, names = range(len(frame)), [short(name, 20) for name in frame["name"]]
    figure, ax = new_figure(HALF[0], 0.9 + 0.2 * len(frame))
    ax.barh(places, frame.recall, 0.7, xerr=ends, capsize=2, tick_label=names, color=BLUE)
    ax.plot(frame.precision, places, "D", color=ORANGE, markersize=4.5, label="precision")
    ax.axvline(overall, color=GRAY, linestyle="--", linewidth=1.2, label="all classes")
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="accuracy on the images of the class")
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.grid(axis="y", visible=False)
    figure.legend(loc="outside upper right", ncols=2)
    worst = frame.iloc[-1]
    lowest = f"; the {_BARS} lowest of {len(rows)} classes" if len(rows) > _BARS else ""
    return Drawing(
        "per_class",
        figure,
        "Accuracy of each class on the test images with its 95% interval: from "
        f"{worst.recall:.1%} ({worst['name']}) to {best.recall:.1%} ({best['name']}), "
        f"{overall:.1%} over all{lowest}.",
        f"Horizontal bars of accuracy for {len(frame)} classes, best on top, each with an error "
        "bar and a diamond for its precision; a dashed line marks all classes.",
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


def one_cell(
    split: Split, logits: Tensor, classes: Sequence[str], true: str, predicted: str
) -> Drawing:
    """Up to 16 images of ``split`` of the class ``true`` that were ``predicted``, surest first."""
    row, column = classes.index(true), classes.index(predicted)
    confidence, answers = logits.softmax(1).max(1)
    inside = ((split.targets == row) & (answers == column)).nonzero()[:, 0]
    which = inside[confidence[inside].argsort(descending=True, stable=True)][:16]
    images = int((split.targets == row).sum())
    called = "recognised" if row == column else f"taken for {predicted}"
    return Drawing(
        "one_cell",
        _answers(split, logits, classes, which),
        f"Of {images:,} test images of the class {true}, {len(inside):,} were {called}; the "
        f"{len(which)} of which the model is surest.",
        f"A grid of {len(which)} small images of the class {true}, with the answer {predicted} and "
        "its probability above each.",
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
def calibration(models: Mapping[str, Scaled]) -> Drawing:
    """Accuracy over confidence of each of ``models``, before and after scaling, beside each other.

    Below it the images in each bin as trained; a bin of fewer than ``FEW`` has no point above.
    """
    shape = {"sharex": True, "sharey": "row", "height_ratios": (3, 1), "squeeze": False}
    figure, axes = new_figure(1.2 + 3.0 * len(models), 3.7, 2, len(models), **shape)
    told = []
    for (above, below), (name, model) in zip(axes.T, models.items(), strict=True):
        above.plot([0, 1], [0, 1], "--", color="black", linewidth=1.2, label="perfect")
        looks = (model.before, "o-", "as trained"), (model.after, "s-", "after scaling")
        for bins, look, label in looks:
            points = np.array([(b.confidence, b.accuracy) for b in bins if b.count >= FEW])
            above.plot(*points.reshape(-1, 2).T, look, markersize=4.5, label=label)
        above.set(xlim=(0, 1), ylim=(0, 1), title=f"{name}, T = {model.temperature:.2f}")
        edges = [*(b.lower for b in model.before), model.before[-1].upper]
        below.stairs([b.count for b in model.before], edges, fill=True, color=GRAY)
        below.yaxis.set_major_formatter("{x:,.0f}")
        below.set_xlabel("confidence (probability of the answer)")
        told.append(f"{name[0].upper()}{name[1:]}: {sureness(model.before)}; {errors(model)}.")
    axes[0, 0].set_ylabel("accuracy")
    axes[1, 0].set_ylabel("images")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return Drawing(
        "calibration",
        figure,
        f"Reliability of the probabilities on the test images. {' '.join(told)}",
        f"For each of {len(models)} models, above, accuracy over confidence: a curve as trained, "
        "one after temperature scaling, and the diagonal; below, the number of images in each of "
        f"{len(edges) - 1} bins.",
    )
