"""What notebook 03 found, in sentences made from its numbers."""

from collections.abc import Mapping
from typing import Any

from lab_utils.model.summary import Costs


def compare_twins(lean: Costs, plain: Costs) -> str:
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
    r, side, overfit = record, record["image_shape"][-1], record["overfit"]
    beyond = ", more than the whole image" if r["receptive_field"] > side else ""
    return (
        f"- {r['name']}: {r['parameters']:,} parameters, {r['flops'] / 1e6:.2f} million operations "
        f"({r['macs'] / 1e6:.2f} million multiply-adds) for one image of {side} x {side} pixels.\n"
        f"- The receptive field of one unit of its last map is {r['receptive_field']} x "
        f"{r['receptive_field']} pixels{beyond}.\n"
        f"- Untrained, its loss is {r['untrained_loss']:.3f}; guessing costs "
        f"{r['expected_untrained_loss']:.3f}.\n"
        f"- It learns {overfit['images']} images by heart in {overfit['steps']} steps (loss "
        f"{overfit['last_loss']:.3f}).\n"
        f"- {compare_twins(*r['twins'])}"
    )
