"""Solutions of the exercises in notebook 08."""


def speedup(share: float, factor: float) -> float:
    """The old time is 1; the new one is the rest, as before, and the part, ``factor`` times less.

    However large ``factor`` is, the rest stays (Amdahl 1967).
    """
    return 1 / ((1 - share) + share / factor)


def share_of_peak(flops: float, images: int, seconds: float, peak_gflops: float) -> float:
    """A forward pass and a backward pass of twice its operations, over what the peak could do."""
    step = 3 * flops * images
    return step / seconds / (1e9 * peak_gflops)
