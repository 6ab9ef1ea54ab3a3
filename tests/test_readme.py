"""Every figure in the README's tables and beside its benchmarks is read from a committed file."""

import re

import numpy as np
import pytest

from lab_utils.core.params import project_root
from lab_utils.experiments.folds import cross_validations
from lab_utils.experiments.recipes import group
from lab_utils.experiments.results import find_all, results_dir
from lab_utils.experiments.significance import compare
from lab_utils.speed.findings import committed

README = (project_root() / "README.md").read_text(encoding="utf-8")
WORDS = " ".join(README.split())  # without the ends of lines


def table(head: str) -> list[list[str]]:
    """The cells of the table whose head begins with these words, without the head."""
    lines = README[README.index(f"\n| {head}") + 1 :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.fixture(scope="module")
def groups():
    return group(find_all(results_dir()))  # not a run that a test of this process has left


def test_the_recipes_reach_what_the_kept_runs_did(groups):
    written = [
        [g.model, str(g.seeds), f"{g.accuracy:.2%}", f"{g.low:.2%} to {g.high:.2%}",
         f"{g.epochs:.0f}", f"{g.parameters:,}", f"{g.flops / 1e6:.1f}"]
        for g in groups
        if not g.results[0].run.settings.folds
    ]  # fmt: skip
    rows = table("recipe | model")
    assert sorted(row[1:] for row in rows) == sorted(written)
    experiments = {g.experiment for g in groups}
    assert {row[0].split("`")[1] for row in rows} == experiments
    accuracies = [float(row[3].rstrip("%")) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)


def test_what_is_said_of_simple_fast_follows_from_the_kept_runs(groups):
    (base,) = (g for g in groups if g.experiment == "simple_fast" and not g.changed)
    others = [g for g in groups if g.experiment == "simple_fast" and g.changed]
    pairs = {p.b.changed if p.a is base else p.a.changed: p for p in compare([base, *others], base)}
    said = re.search(r"bfloat16 and float32 .*? Holm's correction", WORDS)[0]
    for word, text in (
        ("float32", r"\((?P<points>[\d.]+) points apart, p = (?P<p>[\d.]+)\)"),
        ("muon", r"Muon brings (?P<points>[\d.]+) points \(p = (?P<p>[\d.]+)\)"),
        ("smoothing", r"label smoothing (?P<points>[\d.]+) \(p = (?P<p>[\d.]+);"),
    ):
        (pair,) = (p for changed, p in pairs.items() if word in changed)
        found = re.search(text, said)
        digits = len(found["points"].split(".")[1])
        apart = 100 * abs(pair.a.accuracy - pair.b.accuracy)
        assert round(apart, digits) == float(found["points"]), word
        assert f"{pair.p_adjusted:.{len(found['p']) - 2}f}" == found["p"], word


def test_folds_and_ensemble_are_those_of_the_kept_runs(groups):
    (found,) = cross_validations(groups)
    assert f"reach {found.accuracies.mean():.2%} of their" in WORDS
    assert f"(standard deviation {100 * found.accuracies.std(ddof=1):.2f} points)" in WORDS
    (members,) = (g for g in groups if g.experiment == "simple_fast" and not g.changed)
    together = members.probabilities.mean(0).argmax(1) == members.targets
    assert f"three seeds {np.mean(together):.2%} of the test images" in WORDS


@pytest.mark.parametrize(
    ("beside", "name"),
    [
        ("nothing", "quiet"),
        ("one program that loops", "one looping program"),
        ("two programs that loop", "two looping programs"),
        ("another training on two threads", "another training"),
    ],
)
def test_the_pace_beside_other_programs_is_the_measured_one(beside, name):
    found = {row["what"]: row for row in committed("busy")["rows"]}
    itself = found[f"{name}: against itself, quiet"]
    others = [found[f"{name}: against {side}"]["baseline"] for side in ("all", "1", "course")]
    wanted = [f"{itself['ours']:,.0f}", f"{itself['ratio']:.2f}", *(f"{x:,.0f}" for x in others)]
    assert next(row[1:] for row in table("beside it") if row[0] == beside) == wanted


def test_the_lab_is_as_fast_and_as_good_as_measured():
    """Each row of the table, from the files that the benchmarks wrote."""
    changes, epoch, pipeline = (
        {row["what"]: row for row in committed(name)["rows"]}
        for name in ("changes", "epoch", "input_pipeline")
    )
    (without, two) = (pipeline[f"images/s, DataLoader with {n} workers"] for n in (0, 2))
    layout = changes["+ channels last, 20 epochs"]
    multiplied = epoch["ninety_four GFLOP/s, against a bfloat16 matrix product"]
    one = epoch["SimpleCNN epoch, seconds"]
    assert table("what | lab") == [
        ["batches: shuffle, flip, crop, normalise", f"{two['ours']:,.0f} images/s",
         f"{two['baseline']:,.0f}: DataLoader, 2 workers ({two['ratio']:.0f}x); "
         f"{without['baseline']:,.0f}: none ({without['ratio']:.0f}x)", "`input_pipeline`"],
        ["one SimpleCNN epoch, the course's recipe", f"{one['ours']:.1f} s",
         f"{one['baseline']:.1f} s: the course's code ({one['ratio']:.1f}x)", "`epoch`"],
        ["the same recipe in float32: whole batches, channels last; 20 epochs",
         f"{layout['ours']:.0f} s", f"{layout['baseline']:.0f} s ({layout['ratio']:.1f}x)",
         "`changes`"],
        *(recipe(name) for name in ("simple_fast", "sprint", "ninety_four")),
        ["GFLOP/s of `ninety_four`", f"{multiplied['ours']:.0f}",
         f"{multiplied['baseline']:.0f}: a bfloat16 matrix product ({multiplied['ratio']:.2f})",
         "`epoch`"],
    ]  # fmt: skip


def recipe(name: str) -> list[str]:
    """The row of a recipe that took turns with the course, with seeds that no choice has seen."""
    (row,) = committed(name)["rows"]
    said = re.search(r"mean (\S+%), standard deviation (\S+)%, lowest (\S+%),", row["what"])
    mean, deviation, lowest = said.groups()
    towards, lowest_allowed = {
        "simple_fast": ("the course's 79.84% with SimpleCNN", 79.84),
        "sprint": ("the course's 79.84% with any network", 79.84),
        "ninety_four": ("towards 94%", 0),
    }[name]
    assert float(lowest.rstrip("%")) >= lowest_allowed
    digits = 1 if row["ratio"] < 10 else 0
    return [
        f"{towards} (`{name}`, {row['runs']} fresh seeds: mean {mean}, "
        f"standard deviation {deviation} points, lowest {lowest})",
        f"{row['ours']:.1f} s",
        f"{row['baseline']:,.0f} s: the course's 20 epochs ({row['ratio']:.{digits}f}x)",
        "`time_to_accuracy`",
    ]


def test_inference_is_as_fast_as_measured():
    found = {row["what"]: row for row in committed("inference")["rows"]}
    one = {name: found[f"{name}: one image, p50 (ms)"] for name in ("ONNX", "int8 ONNX")}
    many = {name: found[f"{name}: images/s at 256"] for name in ("ONNX", "int8 ONNX")}
    onnx, int8 = one.values()
    assert (
        f"one image takes {onnx['baseline']:.2f} ms in plain PyTorch, {onnx['ours']:.2f} ms as "
        f"ONNX and {int8['ours']:.2f} ms as int8 ONNX"
    ) in WORDS
    rates = [many["ONNX"]["baseline"], many["ONNX"]["ours"], many["int8 ONNX"]["ours"]]
    said = re.search(r"in batches of 256 they do ([\d,]+), ([\d,]+) and ([\d,]+) images/s", WORDS)
    assert [float(x.replace(",", "")) for x in said.groups()] == [round(x, -1) for x in rates]


def test_the_service_answers_as_fast_as_measured():
    found = committed("serve")
    one, eight, many = (found[f"{clients} clients"] for clients in (1, 8, 64))
    assert (
        f"{one['per_second']:.0f} answers/s with 1 client (p50 {one['p50_ms']:.1f} ms, p99 "
        f"{one['p99_ms']:.1f}), {eight['per_second']:.0f} with 8 ({eight['p50_ms']:.0f}, "
        f"{eight['p99_ms']:.0f}), {many['per_second']:.0f} with 64 ({many['p50_ms']:.0f}, "
        f"{many['p99_ms']:.0f}); none lost, none wrong."
    ) in WORDS
    assert all(row["wrong"] == 0 for row in (one, eight, many, found["killed"]))
    statuses = found["overload"]["statuses"]
    assert set(statuses) == {"200", "429"} and sum(statuses.values()) == 1024
    assert f"{statuses['200']} were answered and {statuses['429']} refused" in WORDS
    assert f"the next one took {1000 * found['overload']['seconds_after']:.0f} ms" in WORDS
    before, after = found["memory"]["before_mb"], found["memory"]["after_mb"]
    assert f"{before:,.0f}" == f"{after:,.0f}"
    assert f"Memory is {before:,.0f} MB before and after 10,000 requests" in WORDS
