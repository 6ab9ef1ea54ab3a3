"""Each wrong answer to an exercise of 07 is told by a sentence that helps."""

from math import ceil, comb, sqrt

from refused import refused
from scipy import stats

from lab_utils.exercises import experiments as check


def alone(a, b):
    """How many images the first gets right and the second does not, and the other way round."""
    return int((a & ~b).sum()), int((b & ~a).sum())


def not_capped(a, b):
    fewer, more = sorted(alone(a, b))
    return 2 * sum(comb(fewer + more, k) for k in range(fewer + 1)) / 2 ** (fewer + more)


def with_chi_square(a, b):
    fewer, more = sorted(alone(a, b))
    return stats.chi2.sf((more - fewer) ** 2 / (more + fewer), 1) if more else 1.0


def stops_without_disagreement(a, b):
    fewer, more = sorted(alone(a, b))
    return stats.binomtest(fewer, fewer + more).pvalue if fewer / (fewer + more) else 1.0


def of_those_that_one_gets_right(a, b):
    return stats.binomtest(alone(a, b)[0], int((a | b).sum())).pvalue


def searched(quantile=0.975, lost=1, root=True, start=2):
    """The search for the number of seeds, which is right with these defaults."""

    def answer(spread, difference):
        for n in range(start, 1000):
            wide = stats.t.ppf(quantile, n - lost) * spread
            if wide < difference * (sqrt(n) if root else n):
                return n

    return answer


WRONG = {
    "mcnemar_p": [
        (not_capped, "p is 1.312, not 1"),
        (with_chi_square, "not 0.1094"),
        (stops_without_disagreement, "ZeroDivisionError"),
        (of_those_that_one_gets_right, "8 images that only the first gets right, 2 only"),
        (lambda a, b: min(1, not_capped(a, b)) / 2, "p is 0.05469, not 0.1094"),
        (lambda a, b: stats.binomtest(a.sum(), len(a)).pvalue, "not 0.1094"),
        (lambda a, b: stats.ttest_ind(a, b).pvalue, "not 0.1094"),
        (lambda a, b: stats.binomtest(*alone(a, b)).pvalue, "ValueError"),
        (lambda a, b: stats.binomtest(alone(a, b)[0], sum(alone(a, b))), "not a number"),
        (lambda a, b: 1 - min(1, not_capped(a, b)), "p is 0.8906, not 0.1094"),
    ],
    "seeds_needed": [
        (lambda s, d: max(2, ceil((1.96 * s / d) ** 2)), "gives 16, not 18"),
        (lambda s, d: max(2, ceil((2 * s / d) ** 2)), "gives 16, not 18"),
        (lambda s, d: (1.96 * s / d) ** 2, "gives 15.366"),
        (lambda s, d: 18, "of 0.36 and a difference of 0.5 points it gives 18"),
        (searched(quantile=0.95), "not 18"),
        (searched(lost=0), "of 0.36 and a difference of 0.5 points it gives 4, not 5"),
        (searched(root=False), "gives 6, not 18"),
        (searched(start=3), "gives 3, not 2"),
        (lambda s, d: searched()(s, d) if s else 1, "gives 1, not 2"),
    ],
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)
