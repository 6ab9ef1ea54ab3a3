"""What a person sees while the lab works: a banner, and training progress live or line by line."""

from collections.abc import Callable
import html
import time
from typing import Any

from IPython.display import HTML, display
from torch import Tensor

from lab_utils.core.show import is_live
from lab_utils.training.history import Row


def epoch_line(history: list[Row], epochs: int) -> str:
    """One line about the last epoch, with the time left at the pace so far."""
    row = history[-1]
    left = (epochs - len(history)) * sum(r["seconds"] for r in history) / len(history)
    return (
        f"epoch {int(row['epoch']):3d}/{epochs}  "
        f"loss {row['train_loss']:.4f}  accuracy {row['train_accuracy']:.2%}  "
        f"val loss {row['val_loss']:.4f}  val accuracy {row['val_accuracy']:.2%}  "
        f"{row['seconds']:.1f} s  {row['images_per_second']:,.0f} images/s  left {left:.0f} s"
    )


class TrainingProgress:
    """Reports a training: ``fit(..., on_epoch=progress.epoch, on_step=progress.step)``.

    Headless it prints one line per epoch. In JupyterLab one display updates in place: a bar with
    loss, images per second and time left, then the curves that ``draw(history)`` gives. ``done`` is
    how many of the ``epochs`` an earlier session has finished.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        batch_size: int,
        draw: Callable[[list[Row]], Any],
        done: int = 0,
    ) -> None:
        self.epochs, self.steps, self.batch_size, self.draw = epochs, steps, batch_size, draw
        self.lines: list[str] = []
        self.current = done + 1  # the epoch that is running
        self.started = self.shown = time.perf_counter()
        self.bar = display(HTML(""), display_id=True) if is_live() else None
        self.curves = display(HTML(""), display_id=True) if is_live() else None

    def step(self, step: int, loss: Tensor) -> None:
        """After a training step: redraw the bar, at most twice a second."""
        now = time.perf_counter()
        if step == 0:
            self.started = now
        if self.bar is None or step == 0 or now - self.shown < 0.5:
            return
        self.shown = now
        rate = step / (now - self.started)
        filled = 30 * (step + 1) // self.steps
        self._show(
            f"epoch {self.current:3d}/{self.epochs}  [{'#' * filled:.<30}]  "
            f"loss {loss.item():.4f}  {rate * self.batch_size:,.0f} images/s  "
            f"epoch ends in {(self.steps - step) / rate:.0f} s"
        )

    def epoch(self, history: list[Row]) -> None:
        """After an epoch: its line, and in JupyterLab the curves so far."""
        line = epoch_line(history, self.epochs)
        self.current = len(history) + 1
        if self.bar is None:
            print(line, flush=True)
            return
        self.lines.append(line)
        self._show()
        self.curves.update(self.draw(history))

    def _show(self, *current: str) -> None:
        text = "\n".join([*self.lines, *current])
        self.bar.update(HTML(f"<pre>{html.escape(text)}</pre>"))
