"""The network of a run, and what it says of whole splits, in one precision everywhere."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from lab_utils.core.run import Run
from lab_utils.data.batches import Batches
from lab_utils.data.dataset import Normalization, Split
from lab_utils.model.predict import predict
from lab_utils.setup import hardware
from lab_utils.training.checkpoints import Best, load_best
from lab_utils.training.history import Epoch, read_history
from lab_utils.training.loop import EVAL_BATCH


def load_trained(run: Run) -> tuple[nn.Module, Best, list[Epoch]]:
    """The network with its best weights, what else ``best.pt`` holds, and the whole history."""
    network, best = load_best(run.file("checkpoints/best.pt"))
    return network, best, read_history(run.file("history.csv"))


class Judge:
    """Gives the logits (N, K) of a split, float32 on the CPU, by ``network`` in evaluation mode.

    It computes in float32 on the device of ``run``, whatever the training used; TF32, to which
    cuDNN rounds the inputs of convolutions unless told otherwise, is turned off. Images are
    normalised with ``normalization``, that of the training.
    """

    def __init__(self, run: Run, network: nn.Module, normalization: Normalization) -> None:
        torch.backends.cudnn.allow_tf32 = False
        self.machine = replace(hardware.machine_for(run), dtype=torch.float32)
        self.network, self.normalization = network.to(self.machine.device), normalization
        self.tta = run.settings.tta

    def __call__(self, split: Split) -> Tensor:
        """Averaged over the views of each image that the run's setting ``tta`` asks for."""
        return self._logits(split, self.tta)

    def one_view(self, split: Split) -> Tensor:
        """Of each image as it is, whatever the setting."""
        return self._logits(split, "none")

    def _logits(self, split: Split, tta: str) -> Tensor:
        batches = Batches(split, EVAL_BATCH, self.normalization, self.machine.device)
        return predict(self.network, batches, self.machine, tta)[0]
