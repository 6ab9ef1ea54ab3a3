"""The plumbing of the CIFAR-10 lab: what the notebooks import so that their cells can stay short.

One module per notebook (``hardware``, ``data``, ``models``, ``training``, ``evaluation``,
``deployment``), and the pieces they share: ``settings`` (what to do), ``run`` (where the results
go), ``figures`` (every plot), ``report`` (run folder to PDF) and ``cli`` (the ``lab`` command).
"""

import os

__version__ = "1.0.0"

# Threads that wait for each other should sleep, not spin: beside any other busy program, spinning
# made an epoch on two cores up to fifty times slower, and on a quiet machine it gains nothing. The
# OpenMP library reads this once, when torch loads it: so import lab_utils before torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class LabError(Exception):
    """Something the user can mend; the message says what is wrong and what to do, in a sentence."""

    def _render_traceback_(self) -> list[str]:
        # IPython's hook: in a notebook the sentence stands alone, without the lab's own frames.
        return [f"LabError: {self}"]
