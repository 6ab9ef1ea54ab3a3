"""Groups that several of these tests look at."""

from fabricate import make_tested
import pytest

from lab_utils.experiments.recipes import Group, named


@pytest.fixture
def three_seeds(runs) -> list[Group]:
    """Two recipes with the seeds 0, 1 and 2, the second a point or so better."""
    for seed, (low, high) in enumerate([(700, 708), (710, 722), (690, 712)]):
        make_tested("quick", low, seed=seed)
        make_tested("case_study", high, seed=seed)
    return named("quick", "case_study")
