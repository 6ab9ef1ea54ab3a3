"""Run folders made up for tests: complete ones as the notebooks leave them, and tested ones."""

import json
from pathlib import Path
import re

import numpy as np
from PIL import Image
from pypdf import PdfReader

from lab_utils.core.files import write_json
from lab_utils.core.manifest import written
from lab_utils.core.params import default_name, load_settings
from lab_utils.core.run import BUILT_ON, RECORDS, STEPS, Run
from lab_utils.core.settings import Settings
from lab_utils.evaluation.metrics import counted, summarize
from lab_utils.evaluation.predictions import Predictions, save_predictions
from lab_utils.training.history import Epoch, write_history

PACKAGES = (
    "torch", "torchvision", "numpy", "matplotlib", "seaborn", "scikit-learn", "jupyterlab",
    "papermill", "nbval",
)  # fmt: skip
CIFAR = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
FIGURES = {
    "01_setup": ("descent",),
    "02_data": ("class_counts", "samples", "mean_images", "pixel_histograms", "augmentation"),
    "03_model": ("kernel", "feature_maps", "overfit"),
    "04_training": (
        "lr_schedule",
        "loss_curves",
        "accuracy_curves",
        "lr_curve",
        "small_trainings",
        "augmentation_effect",
    ),
    "05_evaluation": ("confusion_matrix", "per_class", "predictions", "mistakes", "calibration"),
    "06_deployment": ("latency",),
    "08_speed": ("step_time",),
    "09_insight": ("grad_cam", "corruptions", "attacks"),
}
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="460pt" height="230pt" viewBox="0 0 460 230">'
    '<path d="M10 220 L450 20" stroke="#0072B2" fill="none"/></svg>'
)


def begin(step: str, experiment: str, name: str | None = None, **settings) -> Run:
    """A run of ``experiment`` with ``settings``, in which ``step`` has begun.

    What it builds on is done, with nothing recorded.
    """
    run = Run.create(load_settings(experiment, **settings), name)
    for needed in BUILT_ON[step]:
        run.begin(needed)
        run.finish()
    run.begin(step)
    return run


def simplecnn_layers(classes: int) -> list[dict]:
    layers, channels, side, field, jump = [], 3, 32, 1, 1
    for block, width in enumerate((32, 64, 128)):
        field += 2 * jump
        for i, kind in enumerate(("Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d")):
            if kind == "MaxPool2d":
                field, jump, side = field + jump, 2 * jump, side // 2
            weights = {"Conv2d": 9 * channels * width + width, "BatchNorm2d": 2 * width}
            flops = 2 * 9 * channels * width * side**2 if kind == "Conv2d" else 0
            layers.append(
                {
                    "name": f"features.{4 * block + i}",
                    "type": kind,
                    "output_shape": [width, side, side],
                    "parameters": weights.get(kind, 0),
                    "flops": flops,
                    "receptive_field": field,
                }
            )
        channels = width
    head = (
        ("Flatten", 2048, 0, 0),
        ("Linear", 256, 2048 * 256 + 256, 2 * 2048 * 256),
        ("ReLU", 256, 0, 0),
        ("Dropout", 256, 0, 0),
        ("Linear", classes, 256 * classes + classes, 2 * 256 * classes),
    )
    for i, (kind, width, parameters, flops) in enumerate(head):
        row = {"name": f"classifier.{i}", "type": kind, "output_shape": [width]}
        layers.append(
            row | {"parameters": parameters, "flops": flops, "receptive_field": None}
        )  # fmt: skip
    return layers


def make_run(
    path: Path,
    steps: tuple[str, ...] = STEPS,
    classes: list[str] = CIFAR,
    data: str = "cifar10",
    warning: str = "",
    correct: int = 7812,
    **settings,
) -> Run:
    """A run folder as the notebooks would leave it, with small figures and made-up results."""
    run = Run(
        path,
        Settings(
            **{"experiment": "quick", "epochs": 5, "lr": 3e-3, "schedule": "one_cycle"} | settings
        ),
    )
    run.path.mkdir(parents=True)
    (path / "settings.yaml").write_text(json.dumps(run.settings.model_dump()), encoding="utf-8")
    k, epochs = len(classes), run.settings.epochs
    write_json(
        path / "manifest.json",
        {
            step: {
                "status": "done",
                "started": f"2026-03-02T10:{5 * i:02d}:00+01:00",
                "seconds": 12.5 + i,
                "peak_memory_mb": 900 + i,
                "seed": run.settings.seed,
                "git_commit": "0123456789ab",
                "python": "3.11.9",
                "versions": {"torch": "2.14.1"},
            }
            | ({} if i in (0, 2) else {"data": {"name": data, "fingerprint": "00ff"}})
            for i, step in enumerate(steps)
        },
    )

    hardware = {
        "os": "Linux 6.1", "architecture": "x86_64", "python": "3.11.9",
        "cpu": "Example CPU @ 2.60 GHz", "cores": 2, "threads": 2, "ram_gb": 8.2,
        "disk_free_gb": 40.0, "gpu": None, "gpu_memory_gb": None,
        "software": dict.fromkeys(PACKAGES, "2.14.1"),
        "device": "cpu", "device_reason": "no GPU that PyTorch can use was found",
        "precision": "bfloat16",
        "precision_reason": "the CPU multiplies bfloat16 in hardware (AVX512_BF16)",
        "requirements": [
            {"item": "CPU cores", "minimum": "2", "recommended": "4", "found": "2",
             "status": "warn"},
            {"item": "Memory", "minimum": "4 GB", "recommended": "8 GB", "found": "8 GB",
             "status": "pass"},
        ],
        "matmul_gflops": {"float32": 160.2, "bfloat16": 694.0}, "step_ms": 34.8,
        "images_per_second": 3678.0, "estimated_train_seconds": 61.0,
        "estimated_step_memory_mb": 213.4, "gradient_difference": 3.1e-7,
        "rejected_device": None,
        "seeded_runs_identical": True,
    }  # fmt: skip
    cifar = data == "cifar10"
    dataset = {
        "name": data, "title": "CIFAR-10" if cifar else "Shapes", "source": "A. Krizhevsky, 2009",
        "licence": "free to use; cite the report", "fingerprint": "00ff", "warning": warning,
        "unreadable": [], "classes": classes, "image_shape": [3, 32, 32],
        "train_images": 4500 * k, "val_images": 500 * k, "train_counts": [4500] * k,
        "val_counts": [500] * k, "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2470, 0.2435, 0.2616],
        "published_mean": [0.4914, 0.4822, 0.4465] if cifar else None,
        "published_std": [0.2470, 0.2435, 0.2616] if cifar else None,
        "mean_of_image_std": [0.2023, 0.1994, 0.2010], "nearest_mean_accuracy": 0.2774,
        "augmentation": {"flip": True, "crop_padding": 4, "cutout": 0},
    }  # fmt: skip
    layers = simplecnn_layers(k)
    total = sum(layer["parameters"] for layer in layers)
    flops = sum(layer["flops"] for layer in layers)
    this = {"name": "simplecnn", "parameters": total, "flops": flops, "weight_bytes": 2487216,
            "receptive_field": 22, "step_ms": 34.8}  # fmt: skip
    network = {
        **this, "macs": flops // 2, "image_shape": [3, 32, 32], "layers": layers,
        "untrained_loss": 2.3211, "expected_untrained_loss": float(np.log(k)),
        "overfit": {"images": 128, "steps": 60, "first_loss": 2.41, "last_loss": 0.0021},
        "comparison": [this, this | {"name": "resnet20", "parameters": 269722, "step_ms": 190.3}],
    }  # fmt: skip
    history = [
        {
            "epoch": e, "train_loss": 1.9 / e**0.6, "train_accuracy": 0.8 - 0.45 / e,
            "val_loss": 1.7 / e**0.6, "val_accuracy": 0.7803 - 0.4 * (1 / e - 1 / epochs),
            "lr": 3e-3 * (1 - e / (epochs + 1)), "seconds": 11.9 + e / 10,
            "images_per_second": 3780.0 - e,
        }
        for e in range(1, epochs + 1)
    ]  # fmt: skip
    last = history[-1]
    training = {
        "epochs": epochs, "steps": 352 * epochs, "steps_per_epoch": 352,
        "train_seconds": sum(r["seconds"] for r in history),
        "best_epoch": epochs, "best_val_accuracy": last["val_accuracy"],
        **{f"final_{key}": value for key, value in last.items() if "_" in key},
        "images_per_second": 3777.0, "precision": "bfloat16", "device": "cpu",
        "resumed_from_epoch": 0,
        "threads": [{"epoch": 1, "step": 0, "threads": 2, "reason": "64 ms with 1, 38 ms with 2"}],
        "hyperparameters": [
            {"name": name, "value": str(value), "reason": run.settings.explain(name)}
            for name, value in run.settings
            if name in ("optimizer", "lr", "schedule", *settings)
        ],
        "verdict": "balanced", "verdict_reason": "The gap is 2.1 points.",
    }  # fmt: skip
    n = 1000 * k
    right = round(correct / 10_000 * 1000)
    confusion = np.full((k, k), 0)
    np.fill_diagonal(confusion, right)
    for i in range(k):
        confusion[i, (i + 1) % k] += 1000 - right
    per_class = [
        {"class": c, "precision": 0.79, "recall": right / 1000 + i / 1e4, "f1": 0.78 + i / 1e4,
         "support": 1000}
        for i, c in enumerate(classes)
    ]  # fmt: skip
    evaluation = {
        "per_class": per_class, "confusion": confusion,
        "confused_pairs": [{"true": classes[0], "predicted": classes[1], "count": 1000 - right,
                            "share": 1 - right / 1000}],
        "reliability": [{"lower": b / 15, "upper": (b + 1) / 15, "count": 100 * b,
                         "confidence": (b + 0.5) / 15, "accuracy": b / 15} for b in range(15)],
        "criteria": [
            {"criterion": "Validation accuracy above 80%", "found": "78.03%", "passed": False},
            {"criterion": "Training loss falls from first to last epoch",
             "found": "1.900 to 0.723", "passed": True},
        ],
    }  # fmt: skip
    targets = np.arange(n) % k
    wrong = np.where(targets == 0, 1, 0)  # to one class, so that precision, recall and F1 differ
    predicted = np.where(np.arange(n) < correct * n // 10_000, targets, wrong)
    metrics = counted(predicted, targets, k) | {
        "test_loss": 0.6421, "macro_auc": 0.9764, "ece": 0.0321, "train_accuracy": 0.8013,
        "val_accuracy": last["val_accuracy"],
        "val_loss": 0.6533, "best_epoch": epochs, "epochs": epochs,
        "train_seconds": training["train_seconds"], "images_per_second": 3777.0,
        "train_val_gap": 0.021, "parameters": total, "flops": flops, "model": "simplecnn",
        "data": data,
        "data_is_cifar10": cifar, "seed": run.settings.seed, "experiment": "quick",
        "precision": "bfloat16", "device": "cpu", "temperature": 1.2345,
        "test_loss_scaled": 0.6311, "ece_scaled": 0.0123, "tta": "none",
        "test_accuracy_one_view": correct / 10_000, "ensemble_seeds": 1,
        "ensemble_accuracy": None,
    }  # fmt: skip
    speed = {"1": 410.0, "8": 2100.0, "64": 5400.0, "256": 6100.0}
    deployment = {
        "images_compared": 1000, "temperature": 1.2345, "threshold": 0.81, "sure_share": 0.52,
        "sure_accuracy": 0.951, "vnni": True,
        "int8_tried": [{"scheme": "MinMax, last layer in float32", "accuracy": 0.78,
                        "drop": 0.001}],
        "data": {key: dataset[key] for key in ("title", "source", "licence", "fingerprint",
                 "warning", "classes", "train_images", "val_images")} | {"image_size": 32},
        "jpeg": {"quality": 75, "images": n, "accuracy": 0.71, "difference": -0.041,
                 "low": -0.047, "high": -0.035},
        "formats": [
            {"name": name, "file": f"exports/model.{end}", "bytes": size,
             "max_logit_difference": difference, "same_predictions": same,
             "accuracy": correct / 10_000 + change, "difference": change,
             "difference_low": change - 0.002, "difference_high": change + 0.002,
             "latency_ms": ms, "latency_p99_ms": 2 * ms, "throughput": speed, "note": note}
            for name, end, size, difference, same, change, ms, note in (
                ("safetensors", "safetensors", 2500000, 0.0, 1.0, 0.0, 2.4, ""),
                ("TorchScript", "ts", 2500000, 0.0, 1.0, 0.0, 2.1, "deprecated"),
                ("torch.export", "pt2", 2500000, 9.5e-7, 1.0, 0.0, 2.2, ""),
                ("ONNX", "onnx", 2500000, 4.3e-6, 1.0, 0.0, 0.8, ""),
                ("int8 ONNX", "onnx", 650000, 0.31, 0.984, -0.0013, 0.5, ""),
            )
        ],
    }  # fmt: skip
    profiles = {
        "device": "cpu", "precision": "bfloat16",
        "course": {"seconds": 0.0712, "images": 128, "gflops": 114.0, "peak_gflops": 160.0,
                   "shares": {"batch norm": 0.6, "pooling": 0.4}},
        "lab": {"seconds": 0.0254, "images": 128, "gflops": 319.2, "peak_gflops": 694.0,
                "shares": {"convolution, backward": 0.7, "batch norm": 0.3}},
    }  # fmt: skip
    insight = {
        "grad_cam_cells": [8, 8], "heat_in_the_middle": 0.41, "insight_images": 400,
        "insight_accuracy": 0.77, "corruption_accuracy": 0.61, "fgsm_accuracy": 0.37,
        "pgd_accuracy": 0.21,
        "corruptions": [{"damage": "blur", "strength": 0.5, "accuracy": 0.61, "low": 0.56,
                         "high": 0.66}],
        "attacks": [{"damage": name, "strength": e, "accuracy": a, "low": a - 0.04,
                     "high": a + 0.04}
                    for e, name, a in ((0, "FGSM", 0.77), (0, "PGD", 0.77), (2, "FGSM", 0.37),
                                       (2, "PGD", 0.21))],
    }  # fmt: skip
    files = {
        "01_setup": {"hardware.json": hardware}, "02_data": {"data.json": dataset},
        "03_model": {"model.json": network}, "04_training": {"training.json": training},
        "05_evaluation": {"evaluation.json": evaluation, "metrics.json": metrics},
        "06_deployment": {"deployment.json": deployment}, "08_speed": {"speed.json": profiles},
        "09_insight": {"insight.json": insight},
    }  # fmt: skip
    figures = {}
    (path / "figures").mkdir()
    for step in steps:
        for name, content in files[step].items():
            write_json(path / name, content)
        for name in FIGURES.get(step, ()):
            raster = name in ("samples", "mean_images", "augmentation", "kernel", "feature_maps",
                              "grad_cam", "confusion_matrix", "predictions",
                              "mistakes")  # fmt: skip
            file = f"figures/{name}.{'png' if raster else 'svg'}"
            if raster:
                Image.new("RGB", (320, 160), "#88aacc").save(path / file, dpi=(160, 160))
            else:
                (path / file).write_text(SVG, encoding="utf-8")
            figures[name] = {"step": step, "file": file, "caption": f"Caption of {name}.",
                             "alt": f"Alternative text of {name}"}  # fmt: skip
        if step == "04_training":
            rows = [",".join(history[0]), *(",".join(map(str, r.values())) for r in history)]
            (path / "history.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        if step == "05_evaluation":
            answers = {"predicted": predicted, "targets": targets, "classes": classes}
            np.savez(path / "predictions.npz", **answers)
    write_json(path / "figures.json", figures)
    return run


def make_sound(path: Path, **options) -> Run:
    """``make_run`` with logits from which its metrics follow, and a checksum of every file."""
    run = make_run(path, **{"classes": list("abcdefghij")} | options)
    logits = np.random.default_rng(run.settings.seed).normal(size=(200, 10)).astype(np.float32)
    targets = np.arange(200) % 10
    found = Predictions(logits, targets, tuple("abcdefghij"))
    save_predictions(run.file("predictions.npz"), found)
    change(run, "metrics.json", **summarize(logits, targets))
    vouch(run)
    return run


def vouch(run: Run) -> None:
    """Let each finished step vouch for its files as they are now."""
    manifest = run.manifest
    for step, entry in manifest.items():
        entry["sha256"] = written(run.path, step, RECORDS[step])
    write_json(run.file("manifest.json"), manifest)


def change(run: Run, name: str, **values) -> None:
    """Set the given keys of one of the run's JSON files."""
    write_json(run.file(name), run.read_json(name) | values)


def words(pdf: Path, first: int = 1, last: int = 99) -> str:
    """The text of the pages ``first`` to ``last``, its lines joined and its spaces made plain."""
    pages = PdfReader(pdf).pages[first - 1 : last]
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


def make_tested(
    experiment: str | Settings = "quick",
    correct: int = 700,
    name: str | None = None,
    place: Path | None = None,
    val_accuracy: float | None = None,
    luck: int = 0,
    images: int = 1000,
    data: str = "cifar10",
    fingerprint: str = "00ff",
    seconds: float = 50.0,
    flops: int = 21_697_536,
    **settings,
) -> Run:
    """A trained and tested run with ``correct`` right predictions, beginning at image ``luck``.

    ``experiment`` is a name or the settings themselves. The run lies in the folder for runs, or as
    a committed result in ``place``. The validation accuracy, unless it is given, is the higher the
    lower that of the test is: who chooses by the wrong one chooses another run.
    """
    if isinstance(experiment, str):
        experiment = load_settings(experiment, **settings)
    if place is None:
        run = Run.create(experiment, name)
    else:
        folder = place / experiment.experiment / (name or default_name(experiment))
        run = Run(folder, experiment)
        folder.mkdir(parents=True)
        run.file("settings.yaml").write_text(experiment.model_dump_json(), encoding="utf-8")
    accuracy = correct / images
    val_accuracy = 1 - accuracy / 2 if val_accuracy is None else val_accuracy
    targets = np.arange(images) % 10
    right = np.roll(np.arange(images) < correct, luck)
    logits = np.eye(10, dtype=np.float32)[np.where(right, targets, (targets + 1) % 10)]
    np.savez(
        run.file("predictions.npz"), logits=logits, targets=targets, classes=list("abcdefghij")
    )
    epochs = experiment.epochs
    metrics = summarize(logits, targets) | {
        "val_accuracy": val_accuracy, "parameters": 620810, "data": data, "seed": experiment.seed,
        "data_is_cifar10": data == "cifar10", "train_seconds": seconds, "flops": flops,
        "epochs": epochs, "best_epoch": epochs, "precision": "float32", "device": "cpu",
        "tta": experiment.tta, "test_accuracy_one_view": accuracy,
    }  # fmt: skip
    write_json(run.file("metrics.json"), metrics)
    step = {
        "status": "done", "seconds": seconds, "started": "2026-03-02T10:00:00+01:00",
        "git_commit": "0123456789ab", "data": {"name": data, "fingerprint": fingerprint},
    }  # fmt: skip
    write_json(run.file("manifest.json"), {"04_training": step, "05_evaluation": step})
    reached = [val_accuracy * (1 - 0.3 * (1 - e / epochs)) for e in range(1, epochs + 1)]
    history = [
        Epoch(e, 1.0, a - 0.02, 1.0, a, 1e-3, seconds / epochs, 1000.0)
        for e, a in enumerate(reached, 1)
    ]
    write_history(run.file("history.csv"), history)
    return run
