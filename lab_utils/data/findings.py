"""Notebook 02 in words."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 02 as a Markdown list, from what it recorded."""
    r = record
    train, val = np.asarray(r["train_counts"]), np.asarray(r["val_counts"])
    ratio = train.max() / train.min()
    constant = f"{val.max() / val.sum():.1%}"
    reading = f"accuracy is a fair measure, with {constant} for a constant answer"
    if ratio >= 1.5:
        reading = f"read accuracy with care: a constant answer is right for {constant}"
    mean, std = (", ".join(f"{x:.4f}" for x in r[name]) for name in ("mean", "std"))
    return (
        f"- {r['train_images']:,} training and {r['val_images']:,} validation images, "
        f"{r['images_in_both']} in both.\n"
        f"- {len(train)} classes that differ in size by a factor of {ratio:.2f}: {reading}.\n"
        f"- Normalisation: mean {mean}; standard deviation {std}.\n"
        f"- The accuracy to beat, from mean images alone: {r['nearest_mean_accuracy']:.1%}.\n"
        "- Written: `data.json` and five figures; not read: the test images."
    )
