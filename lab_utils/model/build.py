"""The network that a run trains, its weights drawn from the run's seed."""

from typing import Any

import torch
from torch import nn

from lab_utils.core.settings import Settings
from lab_utils.data.batches import normalize
from lab_utils.data.dataset import Dataset
from lab_utils.model import networks


def model_options(settings: Settings) -> dict[str, Any]:
    """What ``networks.build`` needs for the settings' model besides classes and image size."""
    if settings.model != "speednet":
        return {}
    return {"widths": list(settings.widths), "whitening_stride": settings.whitening_stride}


def new_model(settings: Settings, dataset: Dataset) -> nn.Module:
    """The settings' model for ``dataset``, its weights drawn from the settings' seed.

    With ``pretrained`` all but the last layer's come from ImageNet; LabError where they cannot.
    """
    torch.manual_seed(settings.seed)
    images = dataset.train.images
    options = model_options(settings)
    model = networks.build(settings.model, len(dataset.classes), images.shape[-1], **options)
    if hasattr(model, "init_whitening"):  # filters that are computed from images
        model.init_whitening(normalize(images[:5000], dataset.normalization))
    if settings.pretrained:
        from lab_utils.model.networks.resnet18 import load_imagenet  # it alone needs torchvision

        load_imagenet(model)
    if settings.batch_norm_momentum is not None:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = settings.batch_norm_momentum
    return model


def origin(settings: Settings) -> str:
    """What the weights of ``new_model`` are: ``untrained`` or ``pretrained``."""
    return "pretrained" if settings.pretrained else "untrained"


def adam(model: nn.Module) -> torch.optim.Adam:
    """Adam with learning rates at which any network of the lab learns a batch by heart.

    That is 1e-3, and 1 for the last layer of speednet: its weights begin with deviation 1 where
    those of others begin near 0.05, and its logits are divided by the number of its inputs.
    """
    named = dict(model.named_parameters())
    large = [n for n in named if n.startswith("head.") and hasattr(model, "init_whitening")]
    groups = [{"params": [named.pop(name) for name in large], "lr": 1.0}] if large else []
    return torch.optim.Adam([{"params": list(named.values())}, *groups], lr=1e-3)
