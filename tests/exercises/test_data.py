"""What a student may plausibly answer wrongly in notebook 02 is judged wrong, with help."""

import pytest
from refused import refused
from sklearn.model_selection import train_test_split
import torch
from torch.nn.functional import pad

from lab_utils.exercises import data as check


def by_class(targets, fraction, seed, share=round):
    generator = torch.Generator().manual_seed(seed)
    train, val = [], []
    for label in targets.unique():
        members = (targets == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=generator)]
        count = share(fraction * len(members))
        val.append(members[:count])
        train.append(members[count:])
    return torch.cat(train), torch.cat(val)


def at_random(targets, fraction, seed):
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    count = round(fraction * len(targets))
    return order[count:], order[:count]


def the_last(targets, fraction, seed):
    order, count = torch.arange(len(targets)), round(fraction * len(targets))
    return order[:-count], order[-count:]


def without_seed(targets, fraction, seed):
    return by_class(targets, fraction, 0)


def never_the_same(targets, fraction, seed):
    return by_class(targets, fraction, int(torch.randint(2**31, ())))


def the_wrong_way_round(targets, fraction, seed):
    return by_class(targets, fraction, seed)[::-1]


def all_kept(targets, fraction, seed):
    return torch.arange(len(targets)), by_class(targets, fraction, seed)[1]


def always_a_tenth(targets, fraction, seed):
    return by_class(targets, 0.1, seed)


def as_many_of_each(targets, fraction, seed):
    return by_class(targets, fraction, seed, share=lambda _: 2)


def the_targets(targets, fraction, seed):
    return tuple(targets[part] for part in by_class(targets, fraction, seed))


def one_lost(targets, fraction, seed):
    train, val = by_class(targets, fraction, seed)
    return train[1:], val


def not_bordered(image, top, left, padding):
    return image[:, top:, left:]


def turned(image, top, left, padding):
    return solution(image, left, top, padding)


def rolled(image, top, left, padding):
    return image.roll((padding - top, padding - left), (1, 2))


def as_large_as_bordered(image, top, left, padding):
    height, width = image.shape[1] + padding, image.shape[2] + padding
    return pad(image, (padding,) * 4)[:, top : top + height, left : left + width]


def as_floats(image, top, left, padding):
    return solution(image.float(), top, left, padding)


def square(image, top, left, padding):
    side = image.shape[1]
    return pad(image, (padding,) * 4)[:, top : top + side, left : left + side]


def bordered_right_and_below(image, top, left, padding):
    _, height, width = image.shape
    bordered = pad(image, (0, 2 * padding, 0, 2 * padding))
    return bordered[:, top : top + height, left : left + width]


def always_by_four(image, top, left, padding):
    return solution(image, top, left, 4)


def solution(image, top, left, padding):
    _, height, width = image.shape
    return pad(image, (padding,) * 4)[:, top : top + height, left : left + width]


WRONG = {
    "stratified_split": [
        (at_random, "holds 0 of the 20 images of class 1, not about 2"),
        (the_last, "images of class"),
        (without_seed, "seeds 1 and 2 give the same parts"),
        (never_the_same, "seed 1 gives other parts when called again"),
        (the_wrong_way_round, "holds 18 of the 20 images of class 0, not about 2"),
        (all_kept, "20 indices are in both parts"),
        (always_a_tenth, "holds 3 of the 30 images of class 1, not about 7.5"),
        (as_many_of_each, "holds 2 of the 30 images of class 1, not about 7.5"),
        (the_targets, "10 indices are in both parts"),
        (one_lost, "the 179 and 20 indices are not all, each once"),
    ],
    "crop_one": [
        (not_bordered, "the shape is (3, 2, 2), not (3, 2, 3)"),
        (turned, "its first channel is"),
        (rolled, "its first channel is [[4, 5, 6], [1, 2, 3]], not [[0, 0, 0], [1, 2, 3]]"),
        (as_large_as_bordered, "the shape is (3, 3, 4), not (3, 2, 3)"),
        (as_floats, "the type is torch.float32, not torch.uint8"),
        (square, "the shape is (3, 2, 2), not (3, 2, 3)"),
        (bordered_right_and_below, "its first channel is"),
        (always_by_four, "its first channel is"),
    ],
}


test_a_wrong_answer_is_told_what_is_wrong = refused(check, WRONG)


@pytest.mark.parametrize("share", [int, round, lambda n: int(-(-n // 1))])
def test_a_share_may_be_rounded_either_way(share):
    def answer(targets, fraction, seed):
        return by_class(targets, fraction, seed, share)

    assert check.stratified_split.judge(answer).status == "right"


def test_lists_are_right_too():
    def answer(targets, fraction, seed):
        return [part.tolist() for part in by_class(targets, fraction, seed)]

    assert check.stratified_split.judge(answer).status == "right"


def test_an_answer_that_seeds_the_global_generator_changes_nothing_outside():
    def answer(targets, fraction, seed):
        torch.manual_seed(seed)
        return by_class(targets, fraction, int(torch.randint(2**31, ())))

    before = torch.get_rng_state()
    assert check.stratified_split.judge(answer).status == "right"
    assert torch.equal(torch.get_rng_state(), before)


def test_the_way_of_the_library_is_right_too():
    def answer(targets, fraction, seed):
        everything = torch.arange(len(targets))
        options = {"test_size": fraction, "random_state": seed, "stratify": targets}
        return train_test_split(everything, **options)

    assert check.stratified_split.judge(answer).status == "right"
