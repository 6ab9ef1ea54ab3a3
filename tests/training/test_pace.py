"""A training keeps its pace: it looks at its threads again where its steps get slow."""

from collections import deque
from types import SimpleNamespace

import pytest
import torch
from toy import CPU, Watch, same, train

from lab_utils.setup.threads import Threads
from lab_utils.training import pace as pace_module
from lab_utils.training.fit import fit
from lab_utils.training.history import ThreadChoice, read_history
from lab_utils.training.loop import Training
from lab_utils.training.pace import Pace


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class World:
    """A machine of two cores: its clock, what other programs use, what a look would find."""

    def __init__(self, monkeypatch):
        self.now, self.others, self.best, self.looks = 0.0, 0.0, 2, []
        monkeypatch.setattr(pace_module, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(pace_module.OtherPrograms, "read", lambda _: self.others)
        monkeypatch.setattr(pace_module, "most", lambda: 2)
        monkeypatch.setattr(pace_module, "choose_threads", self.look)

    def look(self, settings, device, step=None):
        self.looks.append(self.now)
        self.now += 1.0
        count = self.best if settings.threads == "auto" else settings.threads
        torch.set_num_threads(count)
        return Threads(count, "it was measured", self.others)


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"threads": "auto"})


@pytest.fixture
def training(dataset, settings):
    return Training(settings.model_copy(update={"epochs": 1000}), dataset, CPU)


def walk(pace, world, steps, seconds, start=0):
    for step in range(start, start + steps):
        world.now += seconds
        pace.step(step)


def test_an_even_pace_is_never_looked_into(world, training):
    pace = Pace(training, lambda text: None)
    pace.begin()
    for _ in range(3):
        walk(pace, world, 500, 0.1)
        world.now += 30.0  # validation is no step
    assert len(world.looks) == 1
    assert [choice[:3] for choice in training.choices] == [(1, 0, 2)]


def test_a_stretch_of_twice_the_usual_time_is_looked_into_and_the_choice_is_told(world, training):
    told = []
    pace = Pace(training, told.append)
    pace.begin()
    walk(pace, world, 100, 0.1)
    world.best, world.others = 1, 1.0
    walk(pace, world, 1, 1.0, start=100)
    assert len(world.looks) == 2
    assert [choice[:3] for choice in training.choices] == [(1, 0, 2), (1, 101, 1)]
    assert "threads: 1 from epoch 1, step 101 on, because it was measured" in told[-1]


def test_where_nothing_better_is_found_the_new_pace_becomes_the_usual_one(world, training):
    pace = Pace(training, lambda text: None)
    pace.begin()
    walk(pace, world, 100, 0.1)
    walk(pace, world, 1000, 1.0, start=100)
    assert len(world.looks) == 2
    assert len(training.choices) == 1


def test_looks_take_a_small_part_of_the_time_however_uneven_the_pace_is(world, training):
    pace = Pace(training, lambda text: None)
    pace.begin()
    for start in range(0, 4000, 40):
        walk(pace, world, 37, 0.1, start)
        walk(pace, world, 3, 1.0, start + 37)
    assert 20 < len(world.looks) < world.now / 10  # each takes a second


def test_when_the_other_program_has_ended_all_threads_are_tried_again(world, training):
    world.best, world.others = 1, 1.0
    pace = Pace(training, lambda text: None)
    pace.begin()
    walk(pace, world, 300, 0.1)
    assert len(world.looks) == 1
    world.best, world.others = 2, 0.0
    walk(pace, world, 300, 0.1, start=300)
    assert len(world.looks) == 2
    assert [choice.threads for choice in training.choices] == [1, 2]


def test_a_fixed_number_is_kept_however_slow_the_steps_are(world, dataset, settings):
    settings = settings.model_copy(update={"threads": 2, "epochs": 1000})
    training = Training(settings, dataset, CPU)
    pace = Pace(training, lambda text: None)
    pace.begin()
    walk(pace, world, 50, 0.1)
    walk(pace, world, 50, 10.0, start=50)
    assert len(world.looks) == 1  # which set it
    assert torch.get_num_threads() == 2


def test_to_measure_changes_neither_weights_nor_random_numbers(dataset, settings, monkeypatch):
    training = Training(settings, dataset, CPU)
    training.epoch()
    weights = {key: value.clone() for key, value in training.model.state_dict().items()}
    random = torch.get_rng_state()
    monkeypatch.setattr(pace_module, "_FEW", 0)
    Pace(training, lambda text: None).begin()
    assert same(weights, training.model.state_dict())
    assert torch.equal(random, torch.get_rng_state())
    assert " ms with 1" in training.choices[0].reason or pace_module.most() == 1


def test_undisturbed_the_weights_are_those_of_a_fixed_number(
    tmp_path, dataset, settings, monkeypatch
):
    monkeypatch.setattr(pace_module, "_FEW", 0)  # measure, however short the training is
    monkeypatch.setattr(pace_module, "SLOW", float("inf"))
    found, _ = train(tmp_path / "auto", dataset, settings)
    count = read_history(tmp_path / "auto/history.csv")[-1].threads
    fixed, _ = train(tmp_path / "fixed", dataset, settings.model_copy(update={"threads": count}))
    assert same(found, fixed)


def test_a_continued_training_begins_with_the_threads_it_had(
    tmp_path, dataset, settings, world, monkeypatch
):
    monkeypatch.setattr(pace_module, "_FEW", 0)
    world.best = 1
    first = Training(settings, dataset, CPU)

    def stop(history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(first, tmp_path, progress=Watch(epoch=stop))
    torch.set_num_threads(2)
    seen = deque(maxlen=1)
    again = Training(settings, dataset, CPU)
    watch = Watch(step=lambda step, loss: seen.append(torch.get_num_threads()))
    fit(again, tmp_path, progress=watch)
    assert len(world.looks) == 1
    assert again.choices == first.choices
    assert seen[0] == 1
    assert [row.threads for row in read_history(tmp_path / "history.csv")] == [1, 1, 1]


def test_a_training_continued_on_a_smaller_machine_says_so(world, training, monkeypatch):
    told = []
    training.choices = [ThreadChoice(1, 0, 8, "it was measured", 1.0)]
    Pace(training, told.append).begin()
    assert [choice.threads for choice in training.choices] == [8, 2]
    assert "threads: 2, because there are no more here" in told[0]
    assert torch.get_num_threads() == 2 and not world.looks


def test_a_continued_training_looks_again_once_the_other_program_has_ended(world, training):
    training.choices = [ThreadChoice(1, 0, 1, "it was measured", 1.0)]
    pace = Pace(training, lambda text: None)
    pace.begin()
    world.others = 1.0
    walk(pace, world, 300, 0.1)
    assert not world.looks
    world.others = 0.0
    walk(pace, world, 300, 0.1, start=300)
    assert len(world.looks) == 1


def test_a_short_training_keeps_its_number_however_uneven_it_is(world, dataset, settings):
    torch.set_num_threads(1)
    training = Training(settings, dataset, CPU)  # 12 steps in all
    pace = Pace(training, lambda text: None)
    pace.begin()
    walk(pace, world, 4, 1.0)
    walk(pace, world, 4, 60.0)
    assert not world.looks and torch.get_num_threads() == 1


def test_a_history_of_an_older_version_is_read(tmp_path, dataset, settings):
    _, history = train(tmp_path, dataset, settings)
    path = tmp_path / "history.csv"
    path.write_text("".join(line.rpartition(",")[0] + "\n" for line in path.open()))
    assert read_history(path) == [row._replace(threads=0) for row in history]
