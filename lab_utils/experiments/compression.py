"""Pruned and distilled networks as ``benchmarks/compress`` measured them, for notebook 07."""

from collections.abc import Mapping
from typing import Any

from lab_utils.core.show import Table


def table(record: Mapping[str, Any]) -> Table:
    """The networks of ``benchmarks/compress``, a row each."""
    rows = [
        {"network": row["name"], "epochs": row["epochs"], "test accuracy": row["test_accuracy"],
         "95% interval": f"{row['low']:.2%} to {row['high']:.2%}", "parameters": row["parameters"],
         "MFLOP": row["flops"] / 1e6, "MB": row["weight_bytes"] / 1e6,
         "ms, 1 image": row["ms_1"], "ms, 256": row["ms_256"]}
        for row in record["rows"]
    ]  # fmt: skip
    formats = {"parameters": ",", "MFLOP": ".1f", "MB": ".2f", "ms, 1 image": ".2f"}
    return Table(rows, **formats, **{"test accuracy": ".2%", "ms, 256": ".1f"})


def sentences(record: Mapping[str, Any]) -> str:
    """What pruning and distillation brought, each against what stands beside it."""
    rows = {row["name"]: row for row in record["rows"]}
    lines = []
    if "share" in record:
        whole, small = rows["SimpleCNN"], rows["SimpleCNN, pruned"]
        lines.append(
            f"Without {record['share']:.0%} of its channels, chosen on validation images, SimpleCNN"
            f" has {small['parameters'] / whole['parameters']:.0%} of its parameters, "
            f"{small['flops'] / whole['flops']:.0%} of the operations, and takes "
            f"{small['ms_1'] / whole['ms_1']:.0%} of the time for one image and "
            f"{small['ms_256'] / whole['ms_256']:.0%} for 256."
        )
    lines += [_against(row, rows[row["against"]]) for row in record["rows"] if row["against"]]
    if "temperature" in record:
        lines.append(
            f"The temperature, {record['temperature']:g}, was chosen on validation images after "
            f"{record['trial_epochs']} epochs of each."
        )
    else:
        runs = "`lab sweep resnet20 compact`, then `python -m benchmarks.compress`"
        lines.append(f"Distillation is not measured here; {runs} would.")
    busy, cores = record["busy_cores"], record["machine"]["cores"]
    alone = "." if busy < 0.5 else ": compare them within a column, and with no quiet machine's."
    lines.append(
        f"While the times were taken, other programs kept {busy:.1f} of {cores} cores busy{alone}"
    )
    return "\n".join(f"- {line}" for line in lines)


def _against(row: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    points = 100 * (row["test_accuracy"] - other["test_accuracy"])
    told = "" if row["p"] < 0.05 else ": these two models are not told apart"
    return (
        f'{row["name"]}: {points:+.2f} points against "{other["name"]}"; '
        f"{row['only_here']:,} images are right in it alone and {row['only_there']:,} in the other "
        f"alone, McNemar's p = {row['p']:.2g}{told}."
    )
