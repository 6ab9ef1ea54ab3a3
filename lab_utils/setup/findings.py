"""Notebook 01 in words."""

from collections.abc import Mapping
from typing import Any


def duration(train_seconds: float) -> str:
    """How long a whole run takes, in words: the training and about 30 s for the other notebooks."""
    minutes = (train_seconds + 30) / 60
    return f"{minutes:.0f} minutes" if minutes >= 1.5 else "a minute"


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 01 as a Markdown list, from what it recorded."""
    r = record
    statuses = [row.status for row in r["requirements"]]
    verdicts = ", ".join(f"{statuses.count(x)} {x}" for x in ("pass", "warn", "fail"))
    repeats = "repeats exactly" if r["seeded_runs_identical"] else "does not repeat exactly"
    return (
        f"- Requirements: {verdicts}.\n"
        f"- {r['device']}, {r['precision']}, threads: {r['threads']}; "
        f"{r['images_per_second']:,.0f} images per second.\n"
        f"- A gradient agrees with the reference to {r['gradient_difference']:.1e}.\n"
        f"- A seeded training {repeats} on this machine.\n"
        f"- The training: {r['estimated_steps']:,} steps; about "
        f"{duration(r['estimated_train_seconds'])} for all notebooks.\n"
        "- Written: `settings.yaml` and `hardware.json`."
    )
