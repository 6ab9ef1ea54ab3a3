"""What a person sees while a training runs: a display that updates, or a line for each epoch."""

import html
import time
from typing import Any

from IPython.display import HTML, display
from torch import Tensor

from lab_utils.core.show import is_live
from lab_utils.training.figures import live_curves
from lab_utils.training.history import Epoch
from lab_utils.training.loop import Training


class Quiet:
    """Shows nothing: for a small training beside the one that counts."""

    def step(self, step: int, loss: Tensor) -> None: ...

    def epoch(self, history: list[Epoch]) -> None: ...

    def notice(self, text: str) -> None: ...


class TrainingProgress:
    """Shows how ``training`` gets on; what ``fit`` tells its progress to where nothing is given.

    Headless it prints a line per epoch. In JupyterLab one display updates in place: a bar with
    loss, images per second and time left, and the curves so far.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self.steps = len(training.batches)
        self.lines: list[str] = []
        self.started = self.shown = time.perf_counter()
        self.text, self.curves = (
            (display(HTML(""), display_id=True) if is_live() else None) for _ in range(2)
        )

    def step(self, step: int, loss: Tensor) -> None:
        """After a training step: redraw the bar, at most twice a second."""
        now = time.perf_counter()
        if step == 0:
            self.started = now
        if self.text is None or step == 0 or now - self.shown < 0.5:
            return
        self.shown = now
        settings, rate = self.training.settings, step / (now - self.started)
        self._show(
            f"epoch {len(self.training.history) + 1:3d}/{settings.epochs}  "
            f"loss {loss.item():.4f}  {rate * settings.batch_size:,.0f} images/s  "
            f"epoch ends in {(self.steps - step) / rate:.0f} s",
            f'<progress style="width:100%" max="{self.steps}" value="{step + 1}"></progress>',
        )

    def epoch(self, history: list[Epoch]) -> None:
        """After an epoch: its line, and in JupyterLab the curves so far."""
        row, epochs = history[-1], self.training.settings.epochs
        left = (epochs - len(history)) * row.seconds  # at today's pace, whatever it was before
        line = (
            f"epoch {row.epoch:3d}/{epochs}  "
            f"loss {row.train_loss:.4f}  accuracy {row.train_accuracy:.2%}  "
            f"val loss {row.val_loss:.4f}  val accuracy {row.val_accuracy:.2%}  "
            f"{row.seconds:.1f} s  {row.images_per_second:,.0f} images/s  left {left:.0f} s"
        )
        self.notice(line)
        if self.curves is not None:
            self.curves.update(live_curves(history, epochs))

    def notice(self, text: str) -> None:
        """A line that stays."""
        if self.text is None:
            print(text, flush=True)
            return
        self.lines.append(text)
        self._show("", "")

    def _show(self, line: str, bar: Any) -> None:
        text = html.escape("\n".join([*self.lines, line]).strip())
        self.text.update(HTML(f"<pre>{text}</pre>{bar}"))
