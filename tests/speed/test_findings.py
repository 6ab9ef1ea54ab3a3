"""The sentences of 08 say what the numbers say, and nothing where nothing could be measured."""

import pytest

from lab_utils.speed import findings
from lab_utils.speed.profiling import StepProfile


def way(seconds, gflops=50.0, peak=100.0, **shares):
    return StepProfile(seconds, 16, shares or {"pooling": 0.75, "loss": 0.25}, gflops, peak)


def test_the_parts_of_a_step_are_medians_in_the_order_of_the_loop():
    said = findings.parts(
        [[0.002, 0.001, 0.003, 0.002], [9, 9, 9, 9], [0.002, 0.001, 0.003, 0.002]]
    )
    assert "making the batch 2.0 ms, the forward pass 1.0 ms, the backward pass 3.0 ms" in said
    assert "the optimiser 2.0 ms: the backward pass takes 38% of it" in said
    assert "3.0 times as long as the forward pass" in said


@pytest.mark.parametrize(("spent", "few"), [((5.0, 1.0, 1.0, 2.0), 1), ((3.0, 2.0, 2.5, 2.5), 2)])
def test_the_largest_operators_that_make_half_of_the_time_are_counted(spent, few):
    said = findings.operators(dict(zip("abcd", spent, strict=True)))
    assert "saw 4 different operators. a takes most" in said
    assert f"the first {few} of them take half" in said


def test_two_ways_are_compared_for_an_image():
    said = findings.ways(way(0.004), way(0.002, loss=0.6, pooling=0.4))
    assert "takes 2.0 times as long" in said
    assert "most on pooling (75%), the lab on loss (60%)" in said


def test_a_rate_above_the_peak_is_called_not_measurable():
    assert findings.reach(way(0.01)).endswith(
        "50 GFLOP/s: 50% of the 100 GFLOP/s of a matrix product"
    )
    fast = way(0.01, gflops=231.0)
    assert fast.share_of_peak is None
    assert "231 GFLOP/s: the limit is not measurable now" in findings.reach(fast)
    assert "%" not in findings.reach(fast)


def test_the_largest_gain_of_the_changes_is_named():
    rows = [{"what": n, "ours": s} for n, s in (("course", 100), ("batches", 80), ("bfloat16", 20))]
    said = findings.gains({"rows": rows})
    assert "5 times as fast" in said
    assert said.endswith("4.0 times, is: bfloat16.")


def test_the_rates_beside_other_programs_are_those_of_the_committed_benchmark():
    rows = findings.rates_beside()
    measured = findings.committed("busy_waits")["rows"]
    assert len(rows) == len(measured)
    assert rows[0] == {"beside it": "quiet", "threads": "auto", "images/s": measured[0]["ours"]}
    assert {row["threads"] for row in rows} > {"auto", "all", "1"}
