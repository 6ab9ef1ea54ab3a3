"""The figures of a comparison with their captions, for the report and notebook 07."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.experiments import figures
from lab_utils.experiments.effects import heads, varied
from lab_utils.experiments.recipes import Group, rows


@dataclass(frozen=True, eq=False)
class Drawing:
    """A Matplotlib figure with what the report writes below it and a screen reader says."""

    figure: Any
    caption: str
    alt: str

    @property
    def text(self) -> dict[str, str]:
        """Caption and alternative text, as in ``figures.json``."""
        return {"caption": self.caption, "alt": self.alt}


def drawings(groups: Sequence[Group], own: Group | None = None) -> dict[str, Drawing]:
    """The figures of ``groups``, by name; those that have nothing to show are not among them."""
    shown = heads(groups, own)
    often = Counter(g.experiment for g in shown)
    labels = [g.experiment if often[g.experiment] == 1 else g.label for g in shown]
    labels = [s + " (this run)" * (g is own) for s, g in zip(labels, shown, strict=True)]
    some = "" if len(shown) == len(groups) else f" of {len(shown)} of the {len(groups)} recipes"
    accuracies = [[[row["val_accuracy"] for row in r.history] for r in g.results] for g in shown]
    ends = sorted(shown, key=lambda g: g.val_accuracy)
    found = {
        "compared_curves": Drawing(
            figures.curves(dict(zip(labels, accuracies, strict=True))),
            f"Validation accuracy by epoch{some}: the mean over the seeds, and a band from the "
            "lowest to the highest of them.",
            f"{len(shown)} rising curves; the chosen epochs reach from "
            f"{ends[0].val_accuracy:.1%} ({ends[0].label}) to {ends[-1].val_accuracy:.1%} "
            f"({ends[-1].label}).",
        )
    }
    labelled = [row | {"label": name} for row, name in zip(rows(shown), labels, strict=True)]
    front = figures.pareto_front([g.seconds for g in shown], [g.accuracy for g in shown])
    best = ", ".join(shown[i].label for i in front)
    found["compared_pareto"] = Drawing(
        figures.pareto(labelled),
        f"Test accuracy{some} with its 95% interval against training time, parameters and the "
        "operations of one image. The line joins the recipes that no cheaper one equals; by "
        f"training time: {best}.",
        f"Three scatter plots of {len(shown)} recipes, accuracy against cost on a logarithmic "
        f"scale; against training time the front is made of {best}.",
    )
    if lines := varied(groups):
        names = ", ".join(dict.fromkeys(row["setting"] for row in lines))
        low, high = (f(lines, key=lambda row: row["val_accuracy"]) for f in (min, max))
        found["compared_sensitivity"] = Drawing(
            figures.sensitivity(lines),
            "Validation accuracy where one setting alone was varied: the mean, a dash for each "
            "seed, and the best value filled.",
            f"Mean validation accuracy by {names}, from {low['val_accuracy']:.1%} with "
            f"{low['setting']}={low['value']} to {high['val_accuracy']:.1%} with "
            f"{high['setting']}={high['value']}.",
        )
    return found
