"""What is seen of a training: every step in JupyterLab, a line for each epoch elsewhere."""

import re
from types import SimpleNamespace

import pytest
import torch
from toy import CPU

from lab_utils.training import progress as module
from lab_utils.training.fit import fit
from lab_utils.training.history import numbered
from lab_utils.training.loop import Training
from lab_utils.training.progress import TrainingProgress, svg_curves


@pytest.fixture
def pages(monkeypatch):
    """In JupyterLab: all that the one display showed, in order."""
    shown = []

    def display(page, raw, display_id):
        assert raw and display_id
        shown.append(page)
        return SimpleNamespace(update=lambda page, raw: shown.append(page))

    monkeypatch.setenv("JPY_SESSION_NAME", "04_training.ipynb")
    monkeypatch.setattr(module, "display", display)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    monkeypatch.setattr(module, "SHARE", 1e9)  # redraw in every step
    return shown


def points(page):
    return len(re.search(r'points="([^"]*)"', page["text/html"])[1].split())


def test_headless_an_epoch_is_a_line_and_nothing_else(tmp_path, dataset, settings, capsys):
    fit(Training(settings, dataset, CPU), tmp_path)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]


def test_in_lab_the_curve_grows_with_every_step_and_validation_with_every_epoch(
    tmp_path, dataset, settings, pages, capsys
):
    history = fit(Training(settings, dataset, CPU), tmp_path)  # 3 epochs of 4 steps
    counts = [points(page) for page in pages]
    assert counts == sorted(counts)
    assert counts[-1] == 12
    assert set(counts) >= {2, 3, 4, 6, 7, 8}
    dots = [page["text/html"].count("<circle") for page in pages]
    assert (dots[0], dots[-1]) == (0, 3)
    in_epoch = [page["text/plain"] for page in pages if "images/s" in page["text/plain"]]
    assert re.search(r"Epoch 1 of 3, 50%: loss \d\.\d{3}, [\d,]+ images/s; \d+ s left in this "
                     r"epoch, \d+ s in all\.", in_epoch[0])  # fmt: skip
    assert pages[-1]["text/html"].count("<tr>") == 1 + 3  # a head, and a row for each epoch
    assert f"{history[-1].val_accuracy:.1%}" in pages[-1]["text/html"]
    assert "<pre" not in pages[-1]["text/html"]
    assert not capsys.readouterr().out


def test_a_training_that_goes_on_shows_the_epochs_before(tmp_path, dataset, settings, pages):
    fit(Training(settings, dataset, CPU), tmp_path)
    pages.clear()
    fit(Training(settings, dataset, CPU), tmp_path)
    assert pages[-1]["text/html"].count("<circle") == 3
    assert "Finished before: 3 epochs. They are used as they are" in pages[-1]["text/html"]


def test_redrawing_takes_a_small_share_of_the_time_at_the_most(
    dataset, settings, monkeypatch, pages
):
    monkeypatch.setattr(module, "SHARE", 0.01)
    now = iter(range(0, 10**6))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(now)))
    progress = TrainingProgress(Training(settings, dataset, CPU))
    progress.notice("a second passes while this is drawn")
    assert progress.pause == 100.0


def test_the_time_that_is_left_is_counted_from_the_steps_of_this_epoch(
    dataset, settings, monkeypatch, pages
):
    clock = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    training = Training(settings, dataset, CPU)  # 3 epochs of 4 steps of 32 images
    training.history = numbered([(1.0, 0.5, 1.0, 0.5)])
    progress = TrainingProgress(training)
    assert pages[-1]["text/plain"] == "1 of 3 epochs are done."
    for step, seconds in ((0, 10.0), (1, 2.0)):
        clock[0] += seconds  # before the first step came what is no step
        progress.step(step, torch.tensor(2.5 - step))
    assert pages[-1]["text/plain"] == (
        "Epoch 2 of 3, 50%: loss 1.500, 16 images/s; 4 s left in this epoch, 12 s in all."
    )
    assert 'max="12" value="6"' in pages[-1]["text/html"]


def test_a_loss_stands_at_its_step_and_at_its_share_of_the_axis():
    """Two epochs of two steps, of which an earlier session made the first; the axis ends at 3."""
    svg = svg_curves([1.0, 0.5], 2, 2, 2, [1.5, 1.0], 2.0)
    left, width = 34, 598
    at = [f"{left + share * width:.1f}" for share in (0, 0.5, 0.75, 1)]
    assert f'points="{at[2]},120.0 {at[3]},150.0"' in svg
    assert re.findall(r'cx="([^"]*)" cy="([^"]*)"', svg) == [(at[1], "90.0"), (at[3], "120.0")]
    assert "M34,60.0H640" in svg  # guessing
    numbers = re.findall(r'y="([^"]*)" text-anchor="end">(\d)<', svg)
    assert numbers == [("184.0", "0"), ("124.0", "1"), ("64.0", "2")]
    epochs = re.findall(r'x="([^"]*)" y="196" text-anchor="middle">(\d)<', svg)
    assert epochs == [(at[0], "0"), (at[1], "1"), (at[3], "2")]
    assert 'y="214"><tspan' in svg and 'viewBox="0 0 640 220"' in svg  # below, and within


def test_steps_closer_than_the_pixels_are_drawn_from_lowest_to_highest():
    losses = [1.0] * 3203  # the last three are too few to be drawn
    losses[1234] = 3.0  # a spike of one step must be seen
    svg = svg_curves(losses, 0, 3200, 2, [], 2.3)
    heights = [float(p.split(",")[1]) for p in re.search(r'points="([^"]*)"', svg)[1].split()]
    assert len(heights) < 700
    assert sum(y < max(heights) - 1 for y in heights) == 1


def test_what_is_above_the_axis_or_no_number_is_drawn_at_its_end():
    svg = svg_curves([1e9, float("nan"), float("inf")], 0, 3, 1, [5.0], 2.3)
    places = re.search(r'points="([^"]*)"', svg)[1].split()
    assert [float(place.split(",")[1]) for place in places] == [0.0, 0.0, 0.0]
    assert 'aria-label="Loss of 3 training steps, last inf; validation loss of 1 epochs' in svg
