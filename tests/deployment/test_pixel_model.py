"""The threshold from which on an answer is sure, and what travels with a model."""

import pytest
import torch

from lab_utils.deployment.pixel_model import About, choose_threshold, load_pixel_model


def logits_of(confidences, right):
    """Two classes with these confidences, and targets of which as many are ``right``."""
    p = torch.tensor(confidences, dtype=torch.float64)
    logits = torch.stack([p.log(), (1 - p).log()], 1)
    return logits, torch.tensor([0 if r else 1 for r in right])


def test_the_threshold_is_the_lowest_with_the_precision():
    logits, targets = logits_of([0.99, 0.95, 0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1, 1, 0])
    assert choose_threshold(logits, targets, 0.8) == pytest.approx(0.7)  # 4 of 5
    assert choose_threshold(logits, targets, 0.81) == pytest.approx(0.95)
    assert choose_threshold(logits, targets, 0.5) == pytest.approx(0.6)


def test_answers_of_one_confidence_are_sure_together_or_not_at_all():
    logits, targets = logits_of([0.9, 0.9, 0.8], [1, 0, 1])
    assert choose_threshold(logits, targets, 0.6) == pytest.approx(0.8)
    assert choose_threshold(logits, targets, 0.9) is None  # the first of the two alone would do


def test_where_the_surest_answer_is_wrong_none_is_sure():
    assert choose_threshold(*logits_of([0.9, 0.8], [0, 0])) is None


def test_what_is_known_survives_being_written(checkpoint):
    _, about = load_pixel_model(checkpoint)
    assert About.of_texts(about.texts()) == about
    assert (about.run, about.temperature, about.threshold) == ("", 1.0, None)
    assert len(about.checkpoint) == 16
    for name, wrong in (("threshold", "-5"), ("image_size", "0"), ("classes", '["a", "a"]')):
        with pytest.raises(ValueError, match=r"greater than|is there twice"):
            About.of_texts(about.texts() | {name: wrong})
    texts = about.texts()
    del texts["classes"]
    with pytest.raises(ValueError, match="classes"):
        About.of_texts(texts)
