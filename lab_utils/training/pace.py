"""Keeps a training's pace beside other programs: its number of threads, looked at again if slow."""

from collections.abc import Callable
import copy
from statistics import median
import time

import torch
from torch.nn.functional import cross_entropy

from lab_utils.setup.threads import IMAGES, OtherPrograms, Threads, choose_threads, most
from lab_utils.training.history import ThreadChoice
from lab_utils.training.loop import Training

STRETCH = 0.5  # seconds of steps, at the least, that are compared with others
SLOW = 2.0  # so many times its usual time must a stretch take to be looked into
REST = 10  # so many times as long as a look took there is no other
_FEW = 100  # a training of fewer steps would lose more by a look than it could gain


class Pace:
    """Watches the steps of ``training``; its choices are in ``training.choices``.

    The weights of a training are the same, bit for bit, as long as the number of threads is.
    ``tell`` is called with a sentence about each choice.
    """

    def __init__(self, training: Training, tell: Callable[[str], None]) -> None:
        self.training, self.tell = training, tell
        self.on = training.settings.threads == "auto" and training.machine.device.type == "cpu"
        if self.on:
            self.on = training.settings.epochs * len(training.batches) >= _FEW
        self.others = self.next_look = 0.0  # cores that were busy at the last look; a time
        self.usual: list[float] = []  # seconds a step, of each stretch since the last look
        self.programs = OtherPrograms()

    def begin(self) -> None:
        """Choose the number of threads, or go on with what a stopped training had."""
        training, choices = self.training, self.training.choices
        if training.settings.threads != "auto":
            self._note(0, choose_threads(training.settings, training.machine.device))
        elif choices:
            count = min(choices[-1].threads, most())
            torch.set_num_threads(count)
            self.others = choices[-1].others
            why = choices[-1].reason if count == choices[-1].threads else "there are no more here"
            self._note(0, Threads(count, why, self.others))
        elif self.on:
            self._look(0)
        else:
            why = "a GPU or a training this short needs no measurement"
            self._note(0, Threads(torch.get_num_threads(), why))

    def step(self, step: int) -> None:
        """After each step: where a stretch took twice its usual time, look at the threads again."""
        if not self.on:
            return
        now = time.perf_counter()
        if step == 0:  # validation and checkpoint came before it
            self._restart(now)
        if now - self.started < STRETCH:
            return
        seconds = (now - self.started) / (step - self.first)
        others, fewer = self.programs.read(), torch.get_num_threads() < most()
        slow = bool(self.usual) and seconds > SLOW * median(self.usual)
        if (slow or (fewer and others < self.others - 0.5)) and now > self.next_look:
            self._look(step + 1)
        elif not slow:
            self.usual.append(seconds)
        self._restart(time.perf_counter(), step)

    def _restart(self, now: float, step: int = 0) -> None:
        self.started, self.first = now, step
        self.programs.read()  # from here on

    def _look(self, step: int) -> None:
        training, start = self.training, time.perf_counter()
        found = choose_threads(training.settings, training.machine.device, _trial(training))
        # While they compute there are fewer cores for others than while this process waited.
        self.others, self.usual = min(found.others, most() - found.count), []
        self.next_look = time.perf_counter() + REST * (time.perf_counter() - start)
        self._note(step, found)

    def _note(self, step: int, found: Threads) -> None:
        choices, epoch = self.training.choices, len(self.training.history) + 1
        if not choices or found.count != choices[-1].threads:
            choices.append(ThreadChoice(epoch, step, found.count, found.reason, self.others))
            self.tell(str(choices[-1]))
        else:
            self.tell(f"threads: {found.count} as before, because {found.reason}")


def _trial(training: Training) -> Callable[[int], None]:
    """Both passes of a step on a copy of the network, so that the training stays as it is."""
    network, size = copy.deepcopy(training.network).train(), training.dataset.train.images.shape[-1]
    inputs = torch.zeros(IMAGES, 3, size, size).to(memory_format=torch.channels_last)
    targets = torch.zeros(IMAGES, dtype=torch.int64)

    def step(images: int) -> None:
        with torch.random.fork_rng(devices=[]):  # dropout draws
            cross_entropy(network(inputs[:images]), targets[:images]).backward()

    return step
