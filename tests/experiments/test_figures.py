"""The figures hold every recipe, tell all apart, and say what their axes are."""

from dataclasses import replace

from fabricate import change, make_tested
import pytest

from lab_utils.core.drawing import Drawing
from lab_utils.experiments import figures
from lab_utils.experiments.effects import sensitivity
from lab_utils.experiments.recipes import Group, named
from lab_utils.training.history import best_of, read_history


def many(groups: list[Group], count: int) -> list[Group]:
    """``count`` recipes of as many experiments, all of the same cost, the last with one epoch."""
    first = groups[0].results[0]
    short = replace(first, history=first.history[:1])
    return [
        replace(
            groups[0], experiment=f"recipe_{i}", changed="batch_size=64, lr=0.001",
            accuracy=0.7 + i / 100, low=0.65, high=0.9, val_accuracy=0.8 - i / 100,
            results=groups[0].results if i else (short,),
        )
        for i in range(count)
    ]  # fmt: skip


def panels(drawing: Drawing) -> list:
    """Those that show something; a grid may have some left over."""
    return [ax for ax in drawing.figure.axes if ax.get_visible()]


def curve(ax):
    """The line that is no dotted one."""
    (line,) = (line for line in ax.lines if line.get_linestyle() == "-")
    return line


def legend(drawing: Drawing) -> list[str]:
    return [t.get_text() for found in drawing.figure.legends for t in found.get_texts()]


@pytest.mark.parametrize("count", [1, 2, 9, 12])
def test_the_figures_hold_every_recipe_and_nothing_is_cut_off(three_seeds, count, recwarn):
    groups = many(three_seeds, count)
    own = groups[-1]
    for drawing in (figures.compared_curves(groups, own), figures.compared_pareto(groups, own)):
        figure = drawing.figure
        figure.draw_without_rendering()
        box = figure.get_tightbbox().padded(-0.02)
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
        assert drawing.file == f"figures/{drawing.name}.svg"
    assert legend(drawing) == [g.label + " (this run)" * (g is own) for g in groups]
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("count", [1, 2, 11])
def test_each_recipe_has_a_panel_with_its_name_its_accuracy_and_its_epochs(three_seeds, count):
    groups = many(three_seeds, count)  # the first has one epoch, the others have 20
    drawing = figures.compared_curves(groups, groups[-1])
    shown = panels(drawing)
    assert len(shown) == count
    for i, (ax, g) in enumerate(zip(shown, groups, strict=True)):
        title = ax.get_title()
        assert title.startswith(g.experiment) and title.endswith(f"{g.val_accuracy:.1%}")
        assert len(curve(ax).get_xdata()) == (20 if i else 1)
        assert ("(this run)" in title.replace("\n", " ")) == (g is groups[-1])
    assert len({ax.get_ylim() for ax in shown}) == 1


def test_a_recipe_stands_at_its_cost_in_millions_and_its_accuracy_with_the_whole_interval(
    three_seeds,
):
    """Those of equal cost to both sides of it, so that the mean of their logarithms is the cost."""
    small = replace(three_seeds[1], experiment="small", parameters=1000, flops=2_000_000)
    groups = [*three_seeds, small]
    for ax, costs in zip(
        figures.compared_pareto(groups).figure.axes,
        ((0.62081, 0.001), (21.697536, 2)), strict=True,
    ):  # fmt: skip
        points = [line.get_xydata()[0] for line in ax.lines if line.get_marker() != "None"]
        assert [y for _, y in points] == [g.accuracy for g in groups]
        first, second, alone = (x for x, _ in points)
        assert first < second < 1.1 * first
        assert ((first * second) ** 0.5, alone) == pytest.approx(costs)
        (bars,) = ax.collections
        for (x, _), ends, g in zip(points, bars.get_segments(), groups, strict=True):
            assert ends.ravel() == pytest.approx([x, g.low, x, g.high])
        (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
        assert left < alone < second < right
        assert bottom < min(g.low for g in groups) and max(g.high for g in groups) < top
        room = min(g.low for g in groups) - bottom, top - max(g.high for g in groups)
        assert room[0] == pytest.approx(room[1], abs=0.003)


def test_a_figure_of_many_recipes_with_its_legend_fits_on_a_page(three_seeds):
    few, crowd = (figures.compared_pareto(many(three_seeds, n)).figure for n in (1, 12))
    assert few.get_figheight() < crowd.get_figheight() < 6


def test_the_band_of_a_curve_reaches_from_the_lowest_seed_to_the_highest(three_seeds):
    (ax,) = panels(figures.compared_curves(three_seeds[:1]))
    corners = ax.collections[0].get_paths()[0].vertices
    for epoch in (1, 20):
        seeds = [r.history[epoch - 1].val_accuracy for r in three_seeds[0].results]
        drawn = corners[corners[:, 0] == epoch, 1]
        assert (min(drawn), max(drawn)) == pytest.approx((min(seeds), max(seeds)))
        assert min(seeds) < max(seeds)


def test_a_logarithmic_axis_is_announced(three_seeds):
    for ax in figures.compared_pareto(many(three_seeds, 3)).figure.axes:
        assert ax.get_xscale() == "log"
        assert "(logarithmic)" in ax.get_xlabel()


def test_no_axis_has_seconds_because_runs_are_not_made_alike(three_seeds):
    labels = [ax.get_xlabel() for ax in figures.compared_pareto(three_seeds).figure.axes]
    assert labels == ["million parameters (logarithmic)", "MFLOP of one image (logarithmic)"]


def test_a_curve_is_the_mean_over_the_seeds_and_ends_with_the_shortest(runs):
    for seed, epochs in ((0, 3), (1, 3), (2, 2)):
        run = make_tested("quick", 600 + 100 * seed, seed=seed, epochs=3, patience=1)
        lines = run.file("history.csv").read_text().splitlines(keepends=True)
        run.file("history.csv").write_text("".join(lines[: epochs + 1]))
        best = best_of(read_history(run.file("history.csv")))
        noted = {"epochs": epochs, "best_epoch": best.epoch, "val_accuracy": best.val_accuracy}
        change(run, "metrics.json", **noted)
    (g,) = named("quick")
    (ax,) = panels(figures.compared_curves([g]))
    means = [sum(r.history[epoch].val_accuracy for r in g.results) / 3 for epoch in (0, 1)]
    assert curve(ax).get_ydata() == pytest.approx(means)


def test_a_figure_of_many_recipes_says_that_it_shows_some(three_seeds):
    groups = many(three_seeds, 11)
    crowd = [replace(groups[0], changed=f"lr={i}", val_accuracy=i / 100) for i in range(5)]
    drawing = figures.compared_curves([*groups, *crowd])
    assert "of 11 of the 16 recipes" in drawing.caption
    assert len(panels(drawing)) == 11


def test_recipes_of_the_same_cost_stand_side_by_side(three_seeds):
    parameters, _ = figures.compared_pareto(many(three_seeds, 8)).figure.axes
    points = [line for line in parameters.lines if line.get_marker() != "None"]
    assert len({round(float(line.get_xdata()[0]), 4) for line in points}) >= 8


def test_the_front_that_is_told_is_one_of_the_machine_alone(three_seeds):
    small = replace(three_seeds[1], parameters=1000)
    drawing = figures.compared_pareto([three_seeds[0], small])
    assert "by parameters: quick, case_study." in drawing.caption


def test_a_line_joins_numbers_and_not_names(runs):
    for lr in (1e-1, 1e-2):
        make_tested("quick", lr=lr)
    make_tested("quick", 650, model="resnet20", lr=1e-1, flops=1)
    drawing = figures.compared_sensitivity(sensitivity(named("quick")))
    numbers, names = drawing.figure.axes
    assert numbers.get_xlabel() == "lr"
    assert "-" in {line.get_linestyle() for line in numbers.lines}
    assert [text.get_text() for text in numbers.get_xticklabels()] == ["0.01", "0.1"]
    assert [text.get_text() for text in names.get_xticklabels()] == ["resnet20", "simplecnn"]
    assert {line.get_linestyle() for line in names.lines if len(line.get_xdata())} == {"None"}
    assert "with model=resnet20" in drawing.alt
    assert legend(drawing) == ["quick"]


def test_a_value_stands_at_its_mean_with_a_bar_from_the_lowest_seed_to_the_highest(runs):
    for lr, seeds in ((1e-3, (0.70, 0.73, 0.72)), (2e-3, (0.74, 0.80, 0.74))):
        for seed, val in enumerate(seeds):
            make_tested("quick", lr=lr, seed=seed, val_accuracy=val)
        make_tested("case_study", lr=2 * lr, val_accuracy=100 * lr)
    found = sensitivity(named("quick", "case_study"))
    (ax,) = figures.compared_sensitivity(found).figure.axes
    first, other = sorted(
        (shown.lines for shown in ax.containers), key=lambda x: x[0].get_xdata()[0]
    )
    assert first[0].get_xydata().ravel() == pytest.approx([0, 2.15 / 3, 1, 2.28 / 3])
    assert other[0].get_xydata().ravel() == pytest.approx([1, 0.1, 2, 0.2])
    assert sum(ax.get_xlim()) == pytest.approx(0 + 2)  # as far from either end
    ends = [segment[:, 1].tolist() for segment in first[2][0].get_segments()]
    assert ends == [pytest.approx([0.70, 0.73]), pytest.approx([0.74, 0.80])]


def test_long_names_of_values_are_not_cut_off(runs, recwarn):
    for seed in (0, 1):
        for model in ("simplecnn", "compactnet_standard", "resnet20", "convnet"):
            make_tested("quick", 700 + seed, model=model, seed=seed, flops=1)
    figure = figures.compared_sensitivity(sensitivity(named("quick"))).figure
    figure.draw_without_rendering()
    box = figure.get_tightbbox().padded(-0.02)
    assert box.x0 >= 0 and box.y0 >= 0
    assert box.x1 <= figure.get_figwidth() and box.y1 <= figure.get_figheight()
    labels = [t.get_window_extent() for t in figure.axes[0].get_xticklabels()]
    assert [str(warning.message) for warning in recwarn] == []
    assert len(labels) == 4


def test_the_pareto_front_holds_what_nothing_cheaper_equals():
    assert figures.pareto_front([3, 1, 2, 2], [0.8, 0.7, 0.6, 0.7]) == [1, 0]
    assert figures.pareto_front([], []) == []
