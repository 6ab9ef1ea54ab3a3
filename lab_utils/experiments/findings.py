"""What notebook 07 says of its tables and figures, in sentences computed from the same results."""

from collections.abc import Sequence
from statistics import mean, stdev

import numpy as np

from lab_utils.core.show import Notice, Table
from lab_utils.experiments.effects import Effect
from lab_utils.experiments.figures import pareto_front
from lab_utils.experiments.folds import CrossValidation
from lab_utils.experiments.recipes import Group
from lab_utils.experiments.results import Result
from lab_utils.experiments.significance import Pair


def missing(what: str, example: str) -> Notice:
    """Instead of a table or figure that has nothing to show."""
    return Notice(f"{what} to show yet; for example, make some with: lab sweep {example}")


def found(results: Sequence[Result], groups: Sequence[Group], others: int) -> str:
    """What is compared, and how many runs on ``others`` data are not."""
    on = f"{results[0].data}, {results[0].test_images:,} test images" if results else "none"
    runs = sum(g.seeds for g in groups)
    return f"Groups: {len(groups)}; runs: {runs}; data: {on}; left out for other data: {others}."


def spread(groups: Sequence[Group]) -> str:
    """How far the seeds of a recipe lie apart, of recipes with several."""
    if not groups:
        return "No recipe has two seeds, so the luck of the seed is unknown."
    spreads = {g.label: 100 * stdev(r.test_accuracy for r in g.results) for g in groups}
    widest = max(spreads, key=spreads.__getitem__)
    return (
        f"Standard deviation over the seeds: {np.median(list(spreads.values())):.2f} points, the "
        f"median of {len(spreads)} recipes with several seeds; the largest is {spreads[widest]:.2f}"
        f" points, of `{widest}`."
    )


def curves(groups: Sequence[Group]) -> str:
    """Where the curves end, and which recipe needed how many epochs for it."""
    best = max(groups, key=lambda g: g.val_accuracy)
    quick = min(groups, key=lambda g: (g.epochs, -g.val_accuracy))
    return (
        f"The highest validation accuracy is that of `{best.label}`, {best.val_accuracy:.1%} after "
        f"{best.epochs:g} epochs. Of the shortest trainings, {quick.epochs:g} epochs, the best is "
        f"`{quick.label}` with {quick.val_accuracy:.1%}."
    )


def pareto(groups: Sequence[Group]) -> str:
    """The two fronts, and how far recipes of the same network lie apart."""
    accuracies = [g.accuracy for g in groups]
    fronts = {
        what: ", ".join(f"`{groups[i].label}`" for i in pareto_front(costs, accuracies))
        for what, costs in (("parameters", [g.parameters for g in groups]),
                            ("operations", [g.flops for g in groups]))
    }  # fmt: skip
    costliest = max(groups, key=lambda g: g.flops)
    better = [g for g in groups if g.flops < costliest.flops and g.accuracy >= costliest.accuracy]
    cheapest = min(better, key=lambda g: g.flops, default=None)
    rival = (
        f"`{cheapest.label}` reaches at least as much with "
        f"{cheapest.flops / costliest.flops:.0%} of them"
        if cheapest
        else "none with fewer reaches as much"
    )
    models = [g.model for g in groups]
    usual = max(models, key=models.count)
    same = [g.accuracy for g in groups if g.model == usual]
    return (
        f"By parameters the front is {fronts['parameters']}; by operations {fronts['operations']}. "
        f"The most operations has `{costliest.label}`, {costliest.accuracy:.1%}; {rival}. "
        f"{len(same)} of the recipes train the same network, {usual}, at the same cost of a "
        f"prediction: between the best and the worst of them lie "
        f"{100 * (max(same) - min(same)):.1f} points, for which no prediction pays."
    )


def both_models(groups: Sequence[Group], counts: np.ndarray, p_value: float) -> Table:
    """How many images the first model of each of two groups gets right and wrong, (2, 2)."""
    rows = [
        {f"first: {groups[0].label}": word, "second right": int(right), "second wrong": int(wrong),
         "of": f"{groups[1].label}, p = {p_value:.2g}" if word == "right" else ""}
        for word, (right, wrong) in zip(("right", "wrong"), counts, strict=True)
    ]  # fmt: skip
    return Table(rows, **{"second right": ",", "second wrong": ","})


def verdicts(pairs: Sequence[Pair]) -> Table:
    """A row for each pair, for people; "as models" where one seed shows no more."""
    rows = [
        {"first": pair.a.label, "second": pair.b.label, "seeds": len(pair.seeds),
         "points": 100 * pair.difference, "p (Holm)": pair.p_adjusted,
         "models differ": f"{sum(test.differ for test in pair.mcnemar)} of {len(pair.mcnemar)}",
         "distinguishable": "no" if not pair.distinguishable
                            else "as models" if pair.p_adjusted is None else "yes"}
        for pair in pairs
    ]  # fmt: skip
    return Table(rows, points="+.2f", **{"p (Holm)": ".2g"})


def undecided(pairs: Sequence[Pair]) -> str:
    """How many of the pairs that were compared are not told apart."""
    open_pairs = [pair for pair in pairs if not pair.distinguishable]
    return f"Compared with the reference: {len(pairs)}; not distinguishable: {len(open_pairs)}."


def sensitivity(effects: Sequence[Effect]) -> str:
    """What each setting that was varied alone does, beside the spread of the seeds."""
    lines = []
    for name, setting in dict.fromkeys((e.group.experiment, e.setting) for e in effects):
        tried = [e for e in effects if (e.group.experiment, e.setting) == (name, setting)]
        best, worst = (pick(tried, key=lambda e: e.val_difference) for pick in (max, min))
        seeds = [r.val_accuracy for r in best.group.results]
        told = f"; its seeds reach from {min(seeds):.2%} to {max(seeds):.2%}" * (len(seeds) > 1)
        lines.append(
            f"`{name}`: {setting}={best.value} is best, {best.group.val_accuracy:.2%}{told}. "
            f"{setting}={worst.value} is {-100 * worst.val_difference:.2f} points lower."
        )
    return "\n\n".join(lines)


def ablation(effects: Sequence[Effect]) -> str:
    """Which part of which recipe costs most when it is changed."""
    worst = min(effects, key=lambda e: e.val_difference)
    return (
        f"Most is lost in `{worst.group.experiment}` with {worst.setting}={worst.value}: "
        f"{-100 * worst.val_difference:.2f} points of validation accuracy. That is what this part "
        "is worth in this recipe, whose learning rate was not tuned again without it."
    )


def folds(validated: CrossValidation) -> str:
    """The spread from fold to fold, beside that of the seeds where there are several."""
    val, test = (
        100 * stdev(getattr(r, f"{key}_accuracy") for r in validated.results)
        for key in ("val", "test")
    )
    text = (
        f"{validated} On the test images, which are the same for all, these models spread by "
        f"{test:.2f} points."
    )
    if not (validated.whole and validated.whole.seeds > 1):
        return text
    seeds = 100 * stdev(r.val_accuracy for r in validated.whole.results)
    return (
        f"{text} From seed to seed, with all else as in `{validated.whole.label}`, validation "
        f"accuracy spreads by {seeds:.2f} points, {'more' if seeds > val else 'less'} than from "
        f"fold to fold."
    )


def ensemble(group: Group, accuracy: float, p_value: float) -> str:
    """What the mean of the probabilities brings over one network; ``p_value`` is McNemar's."""
    alone = [r.test_accuracy for r in group.results]
    return (
        f"`{group.label}`, {group.seeds} networks: {accuracy:.2%} together, {mean(alone):.2%} one "
        f"by one in the mean, {max(alone):.2%} the best: {100 * (accuracy - mean(alone)):+.2f} "
        f"points over the mean, for {group.seeds} times the parameters and the operations. "
        f"Against the first of them McNemar's exact test gives p = {p_value:.2g}."
    )


def what_we_found(groups: Sequence[Group], runs: int, pairs: Sequence[Pair]) -> str:
    """The results of notebook 07 as a Markdown list; ``pairs`` have one reference."""
    lines = [f"Recipes: {len(groups)}; runs: {runs}."]
    if groups:
        g = max(groups, key=lambda g: g.val_accuracy)
        lines.append(
            f"Chosen by validation accuracy: `{g.label}`, with a test accuracy of "
            f"**{g.accuracy:.2%}** ({g.low:.2%} to {g.high:.2%}, seeds: {g.seeds})."
        )
    if len(groups) > 1:
        lines.append(pareto(groups))
    lines += [undecided(pairs)] if pairs else []
    return "\n".join(f"- {line}" for line in lines)
