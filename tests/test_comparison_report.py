"""The report's comparison, its figures and the choice of runs: from results made up here."""

import json
from pathlib import Path

from lab_utils.evaluation import wilson_interval
from lab_utils.files import write_json
from lab_utils.settings import Settings
import numpy as np


def fabricate(
    place: Path,
    experiment: str,
    accuracy: float,
    seed: int = 0,
    name: str | None = None,
    data: str = "cifar10",
    fingerprint: str = "00ff",
    seconds: float = 60.0,
    images: int = 10_000,
    flops: int | None = 21_700_000,
    parameters: int = 620_810,
    **settings,
) -> Path:
    """A folder of ``report/results`` whose figures follow from ``accuracy``, its images random."""
    folder = place / experiment / (name or f"{experiment}-seed={seed}")
    folder.mkdir(parents=True)
    chosen = Settings(experiment=experiment, seed=seed, **settings)
    (folder / "settings.yaml").write_text(json.dumps(chosen.model_dump(mode="json")))
    write_json(
        folder / "manifest.json",
        {
            step: {"status": "done", "seconds": seconds, "started": "2026-03-02T10:00:00+01:00"}
            | {"data": {"name": data, "fingerprint": fingerprint}}
            for step in ("04_training", "05_evaluation")
        },
    )
    correct = round(accuracy * images)
    low, high = wilson_interval(correct, images)
    write_json(
        folder / "metrics.json",
        {
            "data": data, "parameters": parameters, "flops": flops, "train_seconds": seconds,
            "test_accuracy": correct / images, "test_accuracy_low": low,
            "test_accuracy_high": high, "test_loss": 1.2 - accuracy, "test_images": images,
            "val_accuracy": accuracy + 0.003, "model": chosen.model, "seed": seed,
        },
    )  # fmt: skip
    rows = ["epoch,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds,images_per_second"]
    for epoch in range(1, chosen.epochs + 1):
        reached = (accuracy + 0.003) * (1 - 0.55 * 0.6 ** (6 * epoch / (chosen.epochs + 2)))
        rows.append(f"{epoch},1,{reached - 0.02},1,{reached},0.001,{seconds / chosen.epochs},1000")
    (folder / "history.csv").write_text("\n".join(rows) + "\n")
    # Easy images are easy for every model: which are right depends on a common difficulty.
    targets = np.arange(images, dtype=np.uint8) % 10
    difficulty = np.random.default_rng(0).random(images)
    own = np.random.default_rng([seed, *experiment.encode(), *(name or "").encode()])
    order = np.argsort(difficulty + 0.25 * own.random(images))
    predicted = (targets + 1) % 10
    predicted[order[:correct]] = targets[order[:correct]]
    saved = {"predicted": predicted, "targets": targets, "classes": np.array(list("abcdefghij"))}
    np.savez_compressed(folder / "predictions.npz", **saved)
    return folder
