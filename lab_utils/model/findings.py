"""Notebook 03 in words and tables; all that is said is computed from what the run found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor

from lab_utils.core.show import Table
from lab_utils.model.costs import Costs
from lab_utils.model.summary import Layer, Summary


def layers_table(layers: Sequence[Layer]) -> Table:
    """Every layer with its costs for one image."""
    shapes = [" x ".join(map(str, layer.output_shape)) for layer in layers]
    rows = [asdict(x) | {"output_shape": s} for x, s in zip(layers, shapes, strict=True)]
    heads = [{key.replace("_", " "): value for key, value in row.items()} for row in rows]
    return Table(heads, parameters=",", flops=",")


def where(facts: Summary) -> str:
    """How much of a network is in its convolutions and how much in its linear layers."""

    def share(kind: str, of: str) -> str:
        total = sum(getattr(layer, of) for layer in facts.layers)
        return f"{sum(getattr(x, of) for x in facts.layers if x.type == kind) / total:.1%}"

    return (
        f"**{facts.parameters:,} parameters**, {facts.weight_bytes / 1e6:.2f} MB on disk as "
        f"float32; **{facts.flops / 1e6:.2f} million operations** for one image. The convolutions "
        f"hold {share('Conv2d', 'parameters')} of the parameters and do "
        f"{share('Conv2d', 'flops')} of the work; the linear layers hold "
        f"{share('Linear', 'parameters')} and do {share('Linear', 'flops')}. One unit of the last "
        f"feature map sees {_field(facts.receptive_field, facts.image_shape[-1])}."
    )


def _field(field: int, side: int) -> str:
    beyond = ", more than the whole image" if field > side else f" of {side} x {side}"
    return f"{field} x {field} pixels{beyond}"


def untrained(loss: float, guessing: float, logits: Tensor) -> str:
    """The loss (nats) of an untrained network beside guessing, and why they differ."""
    spread = logits.std(dim=1).mean().item()
    return (
        f"Untrained loss **{loss:.3f}**, guessing {guessing:.3f}. The logits of an image have a "
        f"standard deviation of {spread:.2f}, so about {guessing + spread**2 / 2:.3f} is expected."
    )


def drawn_filters(weight: Tensor) -> str:
    """What the size of a convolution's weights (O, C, k, k) does to the size of its outputs."""
    products, deviation = weight[0].numel(), weight.std().item()
    return (
        f"The weights have a standard deviation of {deviation:.3f}. An output is a sum of "
        f"{products} products, so of independent inputs with deviation 1 it gets a deviation of "
        f"about {deviation:.3f} x √{products} = {deviation * math.sqrt(products):.2f}."
    )


def silent_maps(maps: Mapping[str, np.ndarray]) -> str:
    """How many of the maps (C, H, W) of each layer have one value all over for this image."""
    found = []
    for name, channels in maps.items():
        silent = sum(bool(channel.min() == channel.max()) for channel in channels)
        found.append(f"{silent} of {len(channels)} after `{name}`")
    return f"Maps with the same value everywhere in this image: {', '.join(found)}."


def learned_by_heart(losses: Sequence[float], guessing: float) -> str:
    """What the last loss (nats) means as a probability, beside that of guessing."""
    return (
        f"After {len(losses) - 1} steps the network gives the right class of a training image a "
        f"probability of {math.exp(-losses[-1]):.1%} (geometric mean), where guessing gives "
        f"{math.exp(-guessing):.1%}."
    )


def stuck(losses: Sequence[float], guessing: float) -> str:
    """Where the loss (nats) of a network that does not learn stops."""
    return (
        f"Loss {losses[0]:.2f} at first, {losses[-1]:.2f} after {len(losses) - 1} steps; guessing "
        f"costs {guessing:.2f}."
    )


def costs_table(rows: Sequence[Costs]) -> Table:
    """The networks beside each other."""
    shown = [
        {
            "model": row.name,
            "parameters": row.parameters,
            "MFLOP": row.flops / 1e6,
            "weights (MB)": row.weight_bytes / 1e6,
            "receptive field": row.receptive_field,
            "training step (ms)": row.step_ms,
            "inference (ms)": row.inference_ms,
        }
        for row in rows
    ]
    times = {"training step (ms)": ".1f", "inference (ms)": ".1f"}
    return Table(shown, parameters=",", MFLOP=",.1f", **{"weights (MB)": ".2f"}, **times)


def growth(rows: Sequence[Costs]) -> str:
    """How operations and time grow from the cheapest network to the dearest."""
    cheapest, dearest = (choose(rows, key=lambda row: row.flops) for choose in (min, max))
    return (
        f"From the cheapest ({cheapest.name}) to the dearest ({dearest.name}) the operations grow "
        f"{dearest.flops / cheapest.flops:.1f}-fold, the time of a training step "
        f"{dearest.step_ms / cheapest.step_ms:.1f}-fold."
    )


def twins_table(lean: Costs, plain: Costs) -> Table:
    """CompactNet and its twin with standard convolutions."""
    shown = [
        {
            "model": row.name,
            "parameters": row.parameters,
            "MFLOP": row.flops / 1e6,
            "1 image (ms)": row.inference_ms_1,
            "128 images (ms)": row.inference_ms_128,
            "training step (ms)": row.step_ms,
        }
        for row in (lean, plain)
    ]
    times = {"1 image (ms)": ".2f", "128 images (ms)": ".1f", "training step (ms)": ".1f"}
    return Table(shown, parameters=",", MFLOP=".1f", **times)


def saved(lean: Costs, plain: Costs) -> str:
    """What separable convolutions save, beside what the course material claims."""
    share = {key: value / vars(plain)[key] for key, value in vars(lean).items() if key != "name"}
    return (
        f"CompactNet saves {1 - share['parameters']:.0%} of its twin's parameters (claimed: 60%) "
        f"and {1 - share['flops']:.0%} of the operations; it takes {share['inference_ms_1']:.0%} "
        f"of the time for one image and {share['inference_ms_128']:.0%} for 128 (claimed: 50%), "
        f"and {share['step_ms']:.0%} for a training step."
    )


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 03 as a Markdown list, from what it recorded."""
    r = SimpleNamespace(**record)
    side, overfit = r.image_shape[-1], r.overfit
    return f"""\
- {r.name}: {r.parameters:,} parameters, {r.flops / 1e6:.2f} million operations
  ({r.macs / 1e6:.2f} million multiply-adds) for one image of {side} x {side} pixels.
- The receptive field of one unit of its last map is {_field(r.receptive_field, side)}.
- Untrained, its loss is {r.untrained_loss:.3f}; guessing costs {r.expected_untrained_loss:.3f}.
- It learns {overfit["images"]} images by heart in {overfit["steps"]} steps (loss
  {overfit["last_loss"]:.3f}).
- {saved(*r.twins)}"""
