"""What a person sees while a training runs: a display that updates, or a line for each epoch."""

from collections.abc import Sequence
import html
import math
import time

from IPython.display import display
import numpy as np
import torch
from torch import Tensor

from lab_utils.core.drawing import BLUE, ORANGE
from lab_utils.core.show import Table, is_live
from lab_utils.training.history import Epoch
from lab_utils.training.loop import Training

PAUSE = 0.5  # seconds between two redrawings, at the least
SHARE = 0.01  # of the time may be spent on them, at the most
WIDTH, HEIGHT, LEFT = 640, 180, 34  # of the curves, and where they begin; the page scales them


class Quiet:
    """Shows nothing: for a small training beside the one that counts."""

    def step(self, step: int, loss: Tensor) -> None: ...

    def epoch(self, history: list[Epoch]) -> None: ...

    def notice(self, text: str) -> None: ...


class TrainingProgress:
    """Shows how ``training`` gets on; what ``fit`` tells its progress to where nothing is given.

    Headless it prints a line per epoch. In JupyterLab one display updates in place: the loss of
    every step as a curve, the validation loss after each epoch, a bar, and a table of the epochs.
    """

    def __init__(self, training: Training) -> None:
        self.training, self.steps = training, len(training.batches)
        self.first = len(training.history) * self.steps  # steps that earlier sessions made
        self.losses: list[float] = []  # of this session
        self._new: list[Tensor] = []  # not read yet: to read each would make a GPU wait
        self.notices: list[str] = []
        self.started = self.shown = time.perf_counter()
        self.pause = PAUSE
        self.handle = display(self._page(), raw=True, display_id=True) if is_live() else None

    def step(self, step: int, loss: Tensor) -> None:
        """After a training step: redraw, at most twice a second."""
        if self.handle is None:
            return
        self._new.append(loss)
        now = time.perf_counter()
        if step == 0:
            self.started = now
        elif now - self.shown > self.pause:
            self._redraw(step + 1, step / (now - self.started))

    def epoch(self, history: list[Epoch]) -> None:
        """After an epoch: its line, or its row of the table."""
        if self.handle is not None:
            self._redraw()
            return
        row, epochs = history[-1], self.training.settings.epochs
        left = (epochs - len(history)) * row.seconds  # at today's pace, whatever it was before
        self.notice(
            f"epoch {row.epoch:3d}/{epochs}  "
            f"loss {row.train_loss:.4f}  accuracy {row.train_accuracy:.2%}  "
            f"val loss {row.val_loss:.4f}  val accuracy {row.val_accuracy:.2%}  "
            f"{row.seconds:.1f} s  {row.images_per_second:,.0f} images/s  left {left:.0f} s"
        )

    def notice(self, text: str) -> None:
        """A sentence that stays."""
        if self.handle is None:
            print(text, flush=True)
            return
        self.notices.append(text)
        self._redraw()

    def _redraw(self, step: int = 0, rate: float = 0.0) -> None:
        begun = time.perf_counter()
        if self._new:
            self.losses += torch.stack(self._new).float().tolist()
            self._new.clear()
        self.handle.update(self._page(step, rate), raw=True)
        self.shown = time.perf_counter()
        self.pause = max(PAUSE, (self.shown - begun) / SHARE)

    def _page(self, step: int = 0, rate: float = 0.0) -> dict[str, str]:
        """All there is to see: ``step`` steps into an epoch, so many a second; 0 between two."""
        training, steps = self.training, self.steps
        history, epochs = training.history, training.settings.epochs
        done, told = len(history), f"{len(history)} of {epochs} epochs are done."
        if step:
            left = (epochs - done) * steps - step
            told = (
                f"Epoch {done + 1} of {epochs}, {step / steps:.0%}: loss {self.losses[-1]:.3f}, "
                f"{rate * training.settings.batch_size:,.0f} images/s; {(steps - step) / rate:.0f} "
                f"s left in this epoch, {left / rate:,.0f} s in all."
            )
        guessing = math.log(len(training.dataset.classes))
        val_losses = [row.val_loss for row in history]
        curves = svg_curves(self.losses, self.first, steps, epochs, val_losses, guessing)
        bar = f'<progress style="width:100%" max="{steps * epochs}" value="{done * steps + step}">'
        rows = Table([_row(row) for row in history], **_FORMATS)._repr_html_() if history else ""
        notes = "".join(f"<div>{html.escape(text)}</div>" for text in self.notices)
        page = f"{curves}{bar}</progress><div>{told}</div>{rows}{notes}"
        return {"text/html": f'<div style="max-width:50em">{page}</div>', "text/plain": told}


_FORMATS = {
    "loss": ".3f", "accuracy": ".1%", "val. loss": ".3f", "val. accuracy": ".1%",
    "seconds": ".1f", "images/s": ",.0f",
}  # fmt: skip


def _row(row: Epoch) -> dict[str, float]:
    values = (*row[1:5], row.seconds, row.images_per_second)
    return {"epoch": row.epoch, **dict(zip(_FORMATS, values, strict=True))}


def svg_curves(
    losses: Sequence[float], first: int, per_epoch: int, epochs: int, val_losses: Sequence[float],
    guessing: float,
) -> str:  # fmt: skip
    """The loss of every step after the ``first`` ones, and the loss after each epoch, as SVG.

    Matplotlib would take a tenth of a second each time. The axis ends at 1.5 times the loss of
    ``guessing``, and what is higher, or no number, is drawn there.
    """
    top, total = 1.5 * guessing, per_epoch * epochs

    def places(steps: np.ndarray, values: np.ndarray) -> list[tuple[float, float]]:
        x = LEFT + (WIDTH - LEFT - 8) * steps / total
        return list(zip(x, HEIGHT * (1 - np.fmin(values, top) / top), strict=True))

    steps, values = _thinned(np.asarray(losses), -(-total // WIDTH))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places(first + steps, values))
    ends = per_epoch * np.arange(1, len(val_losses) + 1)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        for x, y in places(ends, np.asarray(val_losses))
    )
    ((_, level),) = places(np.zeros(1), np.full(1, guessing))
    numbers = "".join(
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in np.arange(0, top, 0.5 if top < 2 else 1.0)
        for _, y in places(np.zeros(1), np.full(1, value))
    ) + "".join(
        f'<text x="{x:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{epoch}</text>'
        for epoch in range(0, epochs + 1, -(-epochs // 10))
        for x, _ in places(np.full(1, per_epoch * epoch), np.zeros(1))
    )
    said = f"Loss of {len(losses):,} training steps"
    said += f", last {losses[-1]:.2f}" if len(losses) else ""
    said += f"; validation loss of {len(val_losses)} epochs"
    said += f", last {val_losses[-1]:.2f}" if len(val_losses) else ""
    return (
        f'<svg role="img" aria-label="{said}." viewBox="0 0 {WIDTH} {HEIGHT + 40}" '
        'style="width:100%" fill="currentColor" font-size="12">'
        f'<path d="M{LEFT},0V{HEIGHT}H{WIDTH}" stroke="currentColor" fill="none"/>{numbers}'
        f'<path d="M{LEFT},{level:.1f}H{WIDTH}" stroke="currentColor" stroke-dasharray="2 4"/>'
        f'<text x="{WIDTH}" y="{level - 5:.1f}" text-anchor="end">guessing</text>'
        f'<polyline points="{line}" stroke="{ORANGE}" fill="none"/><g fill="{BLUE}">{dots}</g>'
        f'<text x="{LEFT}" y="{HEIGHT + 34}"><tspan fill="{ORANGE}">loss of every training step'
        f'</tspan>, <tspan fill="{BLUE}">validation loss</tspan>, over the epochs</text></svg>'
    )


def _thinned(values: np.ndarray, together: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of steps and values to draw: of so many steps ``together`` the lowest and highest."""
    if together == 1:
        return np.arange(1, len(values) + 1), values
    groups = values[: len(values) // together * together].reshape(-1, together)
    steps = together * np.arange(1, len(groups) + 1).repeat(2)
    return steps, np.stack([groups.min(1), groups.max(1)], 1).ravel()
