"""What is tested, and that the sentences claim no more than the tests show."""

from statistics import stdev

from fabricate import make_tested
import pytest
from scipy.stats import binomtest, ttest_rel

from lab_utils.experiments import results, significance
from lab_utils.experiments.recipes import group, named
from lab_utils.experiments.results import find
from lab_utils.experiments.significance import compare, reference_of, sentence


def test_mcnemar_counts_what_one_model_alone_gets_right(runs):
    a, b = make_tested("quick", 700), make_tested("case_study", 700, luck=30)
    test = significance.mcnemar(results.load(a), results.load(b))
    assert (test.only_a, test.only_b, test.images) == (30, 30, 1000)
    assert test.p_value == 1
    c = make_tested("sprint", 670, luck=20)  # right are 20 to 689
    test = significance.mcnemar(results.load(a), results.load(c))
    assert (test.only_a, test.only_b) == (30, 0)
    assert test.p_value == pytest.approx(binomtest(30, 30).pvalue)


def test_models_that_never_disagree_are_not_told_apart(runs):
    a, b = make_tested("quick", 700), make_tested("case_study", 700)
    test = significance.mcnemar(results.load(a), results.load(b))
    assert (test.only_a, test.only_b, test.p_value) == (0, 0, 1.0)


def test_mcnemar_is_not_made_without_the_same_images(runs):
    a, b = make_tested("quick"), make_tested("case_study", images=1010)
    assert significance.mcnemar(results.load(a), results.load(b)) is None


def test_the_paired_test_is_made_seed_by_seed(three_seeds):
    (pair,) = compare(three_seeds)
    expected = ttest_rel([0.708, 0.722, 0.712], [0.700, 0.710, 0.690])
    assert pair.seeds == (0, 1, 2)
    assert pair.difference == pytest.approx(0.014)
    assert pair.p_value == pair.p_adjusted == pytest.approx(expected.pvalue)
    half = 4.302653 * stdev([0.008, 0.012, 0.022]) / 3**0.5  # t of 2 degrees of freedom, 97.5%
    assert (pair.low, pair.high) == pytest.approx((0.014 - half, 0.014 + half))
    assert len(pair.mcnemar) == 3


def test_p_values_are_corrected_for_the_number_of_pairs(runs):
    for seed, scores in enumerate([(700, 750, 760), (701, 752, 758), (699, 749, 762)]):
        for name, correct in zip(("quick", "case_study", "sprint"), scores, strict=True):
            make_tested(name, correct, seed=seed)
    groups = named("quick", "case_study", "sprint")
    pairs = compare(groups)
    raw = sorted(pair.p_value for pair in pairs)
    holm = sorted(pair.p_adjusted for pair in pairs)
    assert holm == pytest.approx([3 * raw[0], max(3 * raw[0], 2 * raw[1]), max(2 * raw[1], raw[2])])
    assert holm[0] > raw[0]
    # Against one reference there are two questions, and nine or six about single models.
    against = compare(groups, groups[0])
    assert len(against) == 2
    assert min(p.p_adjusted for p in against) == pytest.approx(2 * min(p.p_value for p in against))
    for found, questions in ((pairs, 9), (against, 6)):
        tests = [test for pair in found for test in pair.mcnemar]
        assert len(tests) == questions
        least = min(tests, key=lambda test: test.p_value)
        assert 0 < least.p_value < 1e-3
        assert least.p_adjusted == pytest.approx(questions * least.p_value, abs=0)


def test_the_reference_is_the_best_by_validation_of_those_with_several_seeds(runs):
    for seed in (0, 1):
        make_tested("quick", 700 + seed, seed=seed, val_accuracy=0.75)
        make_tested("case_study", 760 + seed, seed=seed, val_accuracy=0.70)
    make_tested("sprint", 800, val_accuracy=0.90)
    groups = named("quick", "case_study", "sprint")
    assert [g.experiment for g in groups] == ["sprint", "case_study", "quick"]  # by test
    assert reference_of(groups).experiment == "quick"
    assert reference_of(groups[:2]).experiment == "sprint"  # one alone has several seeds


def test_the_sentence_says_not_distinguishable_where_that_is_the_truth(three_seeds):
    (pair,) = compare(three_seeds)
    text = sentence(pair)
    assert "not distinguishable at 3 seeds" in text
    assert "case_study against quick: +1.40 points over 3 seeds" in text


def test_a_clear_difference_is_called_distinguishable(runs):
    for seed, (low, high) in enumerate([(700, 750), (701, 752), (699, 749)]):
        make_tested("quick", low, seed=seed)
        make_tested("case_study", high, seed=seed)
    (pair,) = compare(named("quick", "case_study"))
    assert pair.distinguishable
    assert ": distinguishable at 3 seeds" in sentence(pair)


def test_one_seed_tells_of_two_models_and_not_of_their_recipes(runs):
    make_tested("quick", 700)
    make_tested("case_study", 760)
    (pair,) = compare(named("quick", "case_study"))
    assert pair.p_value is None
    assert "McNemar" in sentence(pair)
    assert "what another seed would give is not known" in sentence(pair)


def test_the_same_difference_with_every_seed_is_no_proof(runs):
    for seed in (0, 1):
        make_tested("quick", 700 + seed, seed=seed)
        make_tested("case_study", 710 + seed, seed=seed)
    (pair,) = compare(named("quick", "case_study"))
    assert (pair.p_value, pair.low) == (None, None)
    assert "no spread" in sentence(pair)


def test_runs_that_share_no_seed_are_compared_as_models_only(runs):
    for seed in (0, 1):
        make_tested("quick", 700, seed=seed)
        make_tested("case_study", 710, seed=seed + 2)
    (pair,) = compare(named("quick", "case_study"))
    assert (pair.seeds, pair.p_value) == ((), None)
    assert sentence(pair).startswith("case_study against quick: +1.00 points at seeds 2 and 0.")


def test_one_seed_on_other_images_is_not_said_to_be_another_seed(runs):
    make_tested("quick", 700)
    make_tested("case_study", 760, images=1010)
    (pair,) = compare(group(find("quick", "case_study")))
    assert sentence(pair).endswith("not tested: no two runs have predictions of the same images.")
