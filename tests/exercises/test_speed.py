"""Each wrong answer to an exercise of 08 is told by a sentence that helps."""

from refused import refused

from lab_utils.exercises import speed as check

WRONG = {
    "speedup": [
        (lambda share, factor: 1 - share + share / factor, "gives 0.75, not 1.333"),
        (lambda share, factor: share * factor, "gives 1, not 1.333"),
        (lambda share, factor: 1 + share * (factor - 1), "gives 1.5, not 1.333"),
        (lambda share, factor: 1 / (1 - share / factor), "25% of the step gets 1 times"),
        (lambda share, factor: 1 / (1 - share), "gives 2, not 1.333"),
        (lambda share, factor: factor, "gives 2, not 1.333"),
    ],
    "share_of_peak": [
        (lambda f, n, s, p: f * n / s / (1e9 * p), "gives 0.256, not 0.768"),
        (lambda f, n, s, p: 3 * f / s / (1e9 * p), "gives 0.006, not 0.768"),
        (lambda f, n, s, p: 2 * f * n / s / (1e9 * p), "gives 0.512, not 0.768"),
        (lambda f, n, s, p: 3 * f * n / s / p, "not 0.768"),
        (lambda f, n, s, p: 3 * f * n * s / (1e9 * p), "not 0.768"),
        (lambda f, n, s, p: min(1, 100 * 3 * f * n / s / (1e9 * p)), "gives 1, not 0.768"),
    ],
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)
