"""The checkpoints of a training: ``best.pt`` and ``last.pt``.

Checkpoints hold tensors and plain values only, and are read with ``weights_only=True``: a pickled
model could run any code when it is loaded.
"""

from typing import Any

import torch
from torch import nn

from lab_utils.core.settings import Settings
from lab_utils.data.batches import normalize
from lab_utils.data.dataset import Dataset
from lab_utils.model import networks
from lab_utils.model.networks import speednet
from lab_utils.model.networks.resnet18 import load_imagenet


def model_options(settings: Settings) -> dict[str, Any]:
    """What ``models.build`` needs for the settings' model besides classes and image size."""
    if settings.model != "speednet":
        return {}
    return {"widths": list(settings.widths), "whitening_stride": settings.whitening_stride}


def new_model(settings: Settings, dataset: Dataset) -> nn.Module:
    """The settings' model for ``dataset``, its weights drawn from the settings' seed.

    With ``pretrained`` all but the last layer's come from ImageNet; LabError where they cannot.
    """
    torch.manual_seed(settings.seed)
    size = dataset.train.images.shape[-1]
    model = networks.build(settings.model, len(dataset.classes), size, **model_options(settings))
    if isinstance(model, speednet.SpeedNet):
        model.init_whitening(normalize(dataset.train.images[:5000], dataset.mean, dataset.std))
    if settings.pretrained:
        load_imagenet(model)
    if settings.batch_norm_momentum is not None:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = settings.batch_norm_momentum
    return model
