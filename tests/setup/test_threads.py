"""How many threads: the fastest number, all of them unless fewer are clearly faster."""

import pytest
import torch

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run
from lab_utils.core.settings import Settings
from lab_utils.setup import threads

AUTO, CPU = Settings(experiment="toy"), torch.device("cpu")


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "most", lambda: 4)
    yield
    torch.set_num_threads(before)


class Clock:
    """Time as a machine would show it on which a step takes ``seconds`` by number of threads."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds, self.tried = 0.0, seconds, []
        monkeypatch.setattr(threads.time, "perf_counter", lambda: self.now)

    def step(self, images):
        self.tried.append(torch.get_num_threads())
        self.now += self.seconds[self.tried[-1]]


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({1: 3.0, 2: 1.8, 3: 1.2, 4: 1.0}, 4),
        ({1: 3.0, 2: 0.9, 3: 1.0, 4: 1.0}, 4),  # not clearly faster: every run shall be the same
        ({1: 3.0, 2: 0.7, 3: 0.9, 4: 1.0}, 2),
        ({1: 1.5, 2: 1.2, 3: 1.0, 4: 9.0}, 3),
        ({1: 1.0, 2: 20.0, 3: 25.0, 4: 30.0}, 1),
    ],
)
def test_the_fastest_number_is_taken_and_set(monkeypatch, seconds, best):
    clock = Clock(monkeypatch, seconds)
    found = threads.choose_threads(AUTO, CPU, clock.step)
    assert found.count == torch.get_num_threads() == best
    for count, taken in seconds.items():
        assert f"{1000 * taken:,.0f} ms with {count}" in found.reason


def test_a_number_that_is_hopeless_is_tried_no_more_than_twice(monkeypatch):
    clock = Clock(monkeypatch, {1: 1.0, 2: 1.0, 3: 2.0, 4: 50.0})
    threads.choose_threads(AUTO, CPU, clock.step)
    assert [clock.tried.count(count) for count in (2, 3, 4)] == [3, 3, 2]
    clock = Clock(monkeypatch, {1: 1.0, 2: 60.0, 3: 60.0, 4: 50.0})
    threads.choose_threads(AUTO, CPU, clock.step)
    assert [clock.tried.count(count) for count in (2, 3, 4)] == [1, 1, 2]


def test_a_slow_network_is_measured_on_few_images(monkeypatch):
    asked = []
    clock = Clock(monkeypatch, {1: 0.0, 2: 0.0, 3: 0.0, 4: 0.0})

    def step(images):
        asked.append(images)
        clock.now += 0.01 * images  # 10 ms an image

    threads.choose_threads(AUTO, CPU, step)
    assert set(asked) == {4}
    asked.clear()

    def first_is_slow(images):  # as where a first step allocates memory
        clock.now += 0.001 * images if images in asked else 1.0
        asked.append(images)

    threads.choose_threads(AUTO, CPU, first_is_slow)
    assert max(asked) == 32
    asked.clear()
    threads.choose_threads(AUTO, CPU, lambda images: asked.append(images))  # takes no time at all
    assert max(asked) == threads.IMAGES


def test_one_slow_step_by_chance_does_not_decide(monkeypatch):
    clock = Clock(monkeypatch, {1: 3.0, 2: 1.8, 3: 1.2, 4: 1.0})

    def step(images):
        clock.step(images)
        if clock.tried.count(4) == 1:
            clock.now += 60.0

    assert threads.choose_threads(AUTO, CPU, step).count == 4


@pytest.mark.parametrize(
    ("settings", "device", "count"),
    [(AUTO.model_copy(update={"threads": 3}), "cpu", 3), (AUTO, "cuda", 4), (AUTO, "mps", 4)],
)
def test_a_fixed_number_and_a_gpu_need_no_measurement(settings, device, count):
    def step(images):
        pytest.fail("measured")

    found = threads.choose_threads(settings, torch.device(device), step)
    assert found.count == torch.get_num_threads() == count


@pytest.mark.parametrize(
    ("recorded", "count"),
    [
        ({"01_setup": {"threads": 2}}, 2),
        ({"01_setup": {"threads": 4}, "04_training": {"threads": 1}}, 1),
        ({"04_training": {"threads": 64}}, 4),  # the run was made on a larger machine
        ({"04_training": {}}, 3),  # by an older version: as it is
    ],
)
def test_the_other_notebooks_use_as_many_as_the_training(monkeypatch, tmp_path, recorded, count):
    monkeypatch.setenv("LAB_RUNS_DIR", str(tmp_path))
    torch.set_num_threads(3)
    run = Run.create(AUTO, "toy")
    done = {step: {"status": "done"} | entry for step, entry in recorded.items()}
    write_json(run.file("manifest.json"), done)
    threads.use_threads_of(run)
    assert torch.get_num_threads() == count


def test_a_step_records_how_many_threads_it_used(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_RUNS_DIR", str(tmp_path))
    run = Run.create(AUTO.model_copy(update={"threads": 3}), "toy")
    run.begin("03_model")
    threads.use_threads_of(run)
    run.finish()
    assert run.manifest["03_model"]["threads"] == 3


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "many", 10_000])
def test_threads_are_a_number_from_one_or_auto(wrong):
    with pytest.raises(LabError, match="Setting threads"):
        load_settings("quick", threads=wrong)


def test_the_number_of_threads_is_no_part_of_the_recipe():
    assert AUTO.recipe() == AUTO.model_copy(update={"threads": 1}).recipe()


def test_a_busy_machine_is_told_in_words():
    assert threads.busy_sentence(0.2) == ""
    assert threads.busy_sentence(1.04).startswith("other programs keep 1.0 of")


def test_what_this_process_does_is_no_other_program(monkeypatch):
    percent = iter([0.0, 150.0])
    monkeypatch.setattr(threads.psutil, "cpu_percent", lambda: 100.0)
    monkeypatch.setattr(threads.psutil, "cpu_count", lambda: 4)
    monkeypatch.setattr(threads.psutil.Process, "cpu_percent", lambda _: next(percent))
    assert threads.OtherPrograms().read() == pytest.approx(2.5)


def test_a_program_that_loops_is_seen():
    import subprocess
    import sys
    import time

    meter = threads.OtherPrograms()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as loop:
        time.sleep(1.0)
        others = meter.read()
        loop.kill()
    assert others > 0.3
