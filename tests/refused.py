"""What the tests of all exercises share: plausible wrong answers are told what is wrong."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch


def refused(check: ModuleType, wrong: dict[str, list[tuple]]) -> Callable:
    """A test of ``wrong``: for each exercise three or more answers, with words they are told."""
    assert min(map(len, wrong.values())) >= 3

    @pytest.mark.parametrize(
        ("name", "answer", "words"), [(name, *case) for name in wrong for case in wrong[name]]
    )
    def test(name, answer, words):
        status, sentence = getattr(check, name).judge(answer)
        assert status == "wrong"
        assert words in sentence, sentence
        assert torch.is_grad_enabled()  # whatever the answer did

    return test
