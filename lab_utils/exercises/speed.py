"""The exercises of notebook 08: what a faster part is worth, and how near a step is to the peak."""

from collections.abc import Callable
import math

from lab_utils.exercises.exercise import call, exercise, expect


@exercise
def speedup(answer: Callable[[float, float], float]) -> str:
    """How many times as fast a step gets when ``share`` of its time is ``factor`` times as fast."""
    cases = [(0.5, 2), (0.25, 1), (1.0, 4), (0.0, 10), (0.9, 3), (0.75, 1e9), (0.5, 0.5)]
    for share, factor in cases:
        right = 1 / (1 - share + share / factor)
        found = call(answer, share, factor)
        expect(
            math.isclose(found, right, rel_tol=1e-6),
            f"where {share:.0%} of the step gets {factor} times as fast, it gives {found:.4g}, "
            f"not {right:.4g}",
        )
    return "whatever the share, the rest of the step sets the limit"


@exercise
def share_of_peak(answer: Callable[[float, int, float, float], float]) -> str:
    """What a training step reaches of the peak, from the operations of one forward pass."""
    cases = [(80e6, 128, 0.1, 400), (2e9, 1, 0.5, 100), (1e6, 1000, 3.0, 1), (5e8, 32, 0.016, 3000)]
    for flops, images, seconds, peak in cases:
        right = 3 * flops * images / seconds / (peak * 1e9)
        found = call(answer, flops, images, seconds, peak)
        expect(
            math.isclose(found, right, rel_tol=1e-6),
            f"for {flops / 1e6:g} MFLOP an image, {images} images in {seconds} s and a peak of "
            f"{peak} GFLOP/s it gives {found:.4g}, not {right:.4g}",
        )
    return f"{len(cases)} networks"
