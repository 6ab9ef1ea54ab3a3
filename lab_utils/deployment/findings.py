"""What notebook 06 found, in sentences made from its numbers."""

from collections.abc import Mapping
from typing import Any

from lab_utils.deployment.export import best_throughput


def what_we_found(record: Mapping[str, Any]) -> str:
    """The results of notebook 06 as a Markdown list, from what it recorded."""
    formats, images = record["formats"], record["images_compared"]
    exact = sum(row.same_predictions == 1 for row in formats)
    worst = max(row.max_logit_difference for row in formats)
    quickest = min(formats, key=lambda row: row.latency_ms)
    rate, size, busiest = best_throughput(formats)
    megabytes = [row.bytes / 1e6 for row in formats]
    return (
        f"- {exact} of {len(formats)} exported files give the same prediction for all {images} "
        f"images; the largest difference of a logit is {worst:.2g}.\n"
        f"- One image takes {quickest.latency_ms:.2f} ms with {quickest.name}, "
        f"{formats[0].latency_ms:.2f} ms with PyTorch.\n"
        f"- Highest throughput: {rate:,.0f} images/s with {busiest} in batches of {size}.\n"
        f"- The files are {min(megabytes):.2f} to {max(megabytes):.2f} MB."
    )
