"""The report says what the run's files say, is readable by everyone, and fails in one sentence."""

import json
from pathlib import Path
import re
import tomllib

import numpy as np
from PIL import Image
from pypdf import PdfReader
import pytest

from lab import report
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_params, project_root
from lab_utils.core.run import STEPS, Run
from lab_utils.core.settings import Settings

PACKAGES = (
    "torch", "torchvision", "numpy", "matplotlib", "seaborn", "scikit-learn", "jupyterlab",
    "papermill", "nbval",
)  # fmt: skip
CIFAR = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
FIGURES = {
    "02_data": ("class_counts", "samples", "mean_images", "pixel_histograms", "augmentation"),
    "03_model": ("feature_maps", "overfit"),
    "04_training": (
        "lr_schedule",
        "loss_curves",
        "accuracy_curves",
        "lr_curve",
        "throughput",
        "step_time",
    ),
    "05_evaluation": (
        "confusion_matrix",
        "per_class",
        "predictions",
        "mistakes",
        "calibration",
        "temperature",
        "grad_cam",
        "corruptions",
        "attacks",
    ),
    "06_deployment": ("latency",),
}
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="460pt" height="230pt" viewBox="0 0 460 230">'
    '<path d="M10 220 L450 20" stroke="#0072B2" fill="none"/></svg>'
)
SECTIONS = (
    "Introduction", "Aim and objectives", "Requirements", "Dataset", "Model",
    "Training configuration", "Metrics", "Implementation", "Results", "Discussion", "Conclusion",
    "Future work", "References", "Code listing", "Detailed results",
    "Hardware and software of the run", "Error analysis and troubleshooting",
)  # fmt: skip


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
                "started": f"2026-03-02T10:{10 * i:02d}:00+01:00",
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
            "val_loss": 1.7 / e**0.6, "val_accuracy": 0.8 - 0.4 / e**1.1,
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
        "profile": {
            "device": "cpu", "precision": "bfloat16", "peak_gflops": 694.0,
            "course": {"seconds": 0.0712, "images": 128, "gflops": 114.0,
                       "shares": {"batch norm": 0.6, "pooling": 0.4}},
            "lab": {"seconds": 0.0254, "images": 128, "gflops": 319.2,
                    "shares": {"convolution, backward": 0.7, "batch norm": 0.3}},
        },
        "hyperparameters": [
            {"name": "optimizer", "value": "adam", "reason": "Adapts the step of every weight."},
            {"name": "lr", "value": 0.003, "reason": "Large, because the schedule warms up."},
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
            {"criterion": "Validation accuracy above 75%", "found": "73.19%", "passed": False},
            {"criterion": "Training loss falls from first to last epoch",
             "found": "1.900 to 0.723", "passed": True},
        ],
        "grad_cam_cells": [8, 8],
        "corruptions": [{"corruption": "blur", "severity": 0.5, "accuracy": 0.61, "low": 0.56,
                         "high": 0.66}],
        "attacks": [{"attack": name, "epsilon": e, "accuracy": a, "low": a - 0.04, "high": a + 0.04}
                    for e in (0, 2) for name, a in (("FGSM", 0.77 - 0.2 * e), ("PGD", 0.21))],
    }  # fmt: skip
    metrics = {
        "test_images": n, "test_correct": correct * n // 10_000, "test_accuracy": correct / 10_000,
        "test_accuracy_low": correct / 10_000 - 0.008,
        "test_accuracy_high": correct / 10_000 + 0.008, "test_loss": 0.6421,
        "macro_precision": 0.7811, "macro_recall": 0.7812, "macro_f1": 0.7809,
        "macro_auc": 0.9764, "ece": 0.0321, "train_accuracy": 0.8013, "val_accuracy": 0.7803,
        "val_loss": 0.6533, "best_epoch": epochs, "epochs": epochs,
        "train_seconds": training["train_seconds"], "images_per_second": 3777.0,
        "train_val_gap": 0.021, "parameters": total, "model": "simplecnn", "data": data,
        "data_is_cifar10": cifar, "seed": run.settings.seed, "experiment": "quick",
        "precision": "bfloat16", "device": "cpu", "temperature": 1.2345,
        "test_loss_scaled": 0.6311, "ece_scaled": 0.0123, "insight_images": 400,
        "insight_accuracy": 0.77, "corruption_accuracy": 0.61, "fgsm_accuracy": 0.37,
        "pgd_accuracy": 0.21, "heat_in_the_middle": 0.41, "ensemble_seeds": 1,
        "ensemble_accuracy": None,
    }  # fmt: skip
    speed = {"1": 410.0, "8": 2100.0, "64": 5400.0, "256": 6100.0}
    deployment = {
        "images_compared": 1000,
        "formats": [
            {"name": name, "file": f"exports/model.{end}", "bytes": 2500000,
             "max_logit_difference": difference, "same_predictions": 1.0, "latency_ms": ms,
             "throughput": speed, "note": note}
            for name, end, difference, ms, note in (
                ("state dict", "pt", 0.0, 2.4, ""),
                ("TorchScript", "ts", 0.0, 2.1, "deprecated"),
                ("torch.export", "pt2", 9.5e-7, 2.2, ""),
                ("ONNX", "onnx", 4.3e-6, 0.8, ""),
            )
        ],
    }  # fmt: skip
    files = {
        "01_setup": {"hardware.json": hardware}, "02_data": {"data.json": dataset},
        "03_model": {"model.json": network}, "04_training": {"training.json": training},
        "05_evaluation": {"evaluation.json": evaluation, "metrics.json": metrics},
        "06_deployment": {"deployment.json": deployment},
    }  # fmt: skip
    figures = {}
    (path / "figures").mkdir()
    for step in steps:
        for name, content in files[step].items():
            write_json(path / name, content)
        for name in FIGURES.get(step, ()):
            raster = name in ("samples", "mean_images", "augmentation", "feature_maps", "grad_cam",
                              "confusion_matrix", "predictions", "mistakes")  # fmt: skip
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
    write_json(path / "figures.json", figures)
    return run


def change(run: Run, name: str, **values) -> None:
    """Set the given keys of one of the run's JSON files."""
    write_json(run.file(name), run.read_json(name) | values)


def words(pdf: Path, first: int = 1, last: int = 99) -> str:
    """The text of the pages ``first`` to ``last``, its lines joined and its spaces made plain."""
    pages = PdfReader(pdf).pages[first - 1 : last]
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Run:
    run = make_run(tmp_path_factory.mktemp("runs") / "quick")
    report.build(run)
    return run


@pytest.fixture(scope="module")
def text(complete) -> str:
    return words(complete.file("report.pdf"))


def test_a_complete_run_gives_a_report_of_the_size_a_teacher_expects(complete):
    pdf = complete.file("report.pdf")
    assert 12 <= len(PdfReader(pdf).pages) <= 30
    assert pdf.stat().st_size < 5e6


def test_every_section_is_there(text):
    for title in SECTIONS:
        assert title in text


@pytest.mark.parametrize(
    "number",
    ["78.12%", "77.32%", "78.92%", "0.642", "0.976", "620,810", "21.70 MFLOP", "45,000", "7,812"],
)
def test_the_numbers_of_the_run_are_in_the_text(text, number):
    assert number in text


def test_a_complete_run_has_nothing_unmeasured(text):
    # Troubleshooting explains the words once.
    assert text.count("not measured") == 1


def test_the_sources_figures_are_quoted_and_explained(text):
    assert "79.84%" in text
    assert "102/128" in text
    assert "199/256" in text


def test_tables_and_figures_stay_in_their_section(complete):
    reader = PdfReader(complete.file("report.pdf"))
    starts = [
        (entry["/Title"], reader.get_destination_page_number(entry) + 1)
        for entry in reader.outline
        if not isinstance(entry, list)
    ]
    titles = [title for title, _ in starts]
    found = {}
    for number, page in enumerate(reader.pages, 1):
        for kind, caption in re.findall(r"^(Table|Figure) (\d+)\. ", page.extract_text(), re.M):
            found[kind, int(caption)] = number

    def pages(title: str) -> range:
        place = next(i for i, name in enumerate(titles) if title in name)
        return range(starts[place][1], starts[place + 1][1] + 1)

    assert found["Table", 1] in pages("Requirements")
    assert found["Table", 2] in pages("Requirements")
    assert found["Table", 3] in pages("Dataset")
    assert found["Figure", 5] in pages("Dataset")
    assert found["Figure", 7] in pages("Model")
    assert found["Table", 8] in pages("Model")
    assert found["Table", 10] in pages("Implementation")
    assert found["Table", 11] in pages("Results")
    assert found["Figure", 20] in pages("Results")


def test_the_software_table_shows_the_ranges_of_the_project(text):
    text_of = (project_root() / "pyproject.toml").read_text(encoding="utf-8")
    for dependency in tomllib.loads(text_of)["project"]["dependencies"]:
        name, least = dependency.split(">=")
        if name in PACKAGES:
            assert f"{name} ≥ {least} 2.14.1" in text


def test_test_and_validation_accuracy_are_compared_with_both_errors(tmp_path, text):
    # 1.96 * sqrt(0.7812 * 0.2188 / 10,000 + 0.7803 * 0.2197 / 5,000) = 0.0140
    assert "They differ by 0.1 points; chance alone explains up to 1.4 points." in text
    run = make_run(tmp_path / "own")
    change(run, "metrics.json", val_images=500, val_accuracy=0.70)
    text = words(report.build(run))
    assert "They differ by 8.1 points; chance alone explains up to 4.1 points." in text
    assert "The rest is more than chance" in text
    assert "agree: they differ" not in text


def test_two_gaps_are_told_apart(text):
    assert "This judges the weights of the last epoch" in text
    assert "weights; the reading of the curves in Section 9.2 judges those" in text


def test_calibration_is_judged_within_the_uncertainty(tmp_path, text):
    assert "differ by 3.2 percentage points" in text
    assert "too sure" in text
    assert "within the uncertainty" not in text
    run = make_run(tmp_path / "sure")
    bins = [{"lower": 0.7, "upper": 0.8, "count": 9, "confidence": 0.78, "accuracy": 0.7812}]
    change(run, "evaluation.json", reliability=bins)
    assert "as sure as it is right, within the uncertainty" in words(report.build(run))


def test_what_the_model_looks_at_and_what_breaks_it_is_said_as_far_as_it_was_measured(
    tmp_path, text
):
    assert "here 1.235, which was fitted on the validation images" in text
    assert "41.0% lies in the central quarter" in text
    assert "leaves 37.0% of the same images right when made in one step" in text
    assert "21.0% (95% interval 17.0% to 25.0%) when made in ten" in text
    assert "in nothing but their seed" not in text
    run = make_run(tmp_path / "without_captum")
    nothing = {"heat_in_the_middle": None, "fgsm_accuracy": None, "pgd_accuracy": None}
    change(run, "metrics.json", **nothing, ensemble_seeds=3, ensemble_accuracy=0.7999)
    change(run, "evaluation.json", attacks=[], grad_cam_cells=None)
    text = words(report.build(run))
    assert "Where the network looks (Grad-CAM [" in text
    assert "]) are not measured." in text
    for name in ("attacks", "grad_cam"):
        assert f"Caption of {name}" not in text  # left over from an earlier time
    assert "The worst is blur of 0.5 pixels" in text
    assert "networks that differ in nothing but their seed classifies 79.99%" in text
    change(run, "evaluation.json", grad_cam_cells=[2, 2])
    assert "So few cells do not tell the middle" in words(report.build(run))


def test_a_device_that_was_rejected_is_said(tmp_path, text):
    assert "gradient on cpu differs from a float64 reference by 3.1" in text
    run = make_run(tmp_path / "mps")
    change(run, "hardware.json", rejected_device="mps", gradient_difference=0.4)
    text = words(report.build(run))
    assert "on mps differs from a float64 reference by 0.4 of its length, so that" in text


def test_one_epoch_has_no_curve_and_an_unmeasured_criterion(tmp_path):
    run = make_run(tmp_path / "one", epochs=1)
    criteria = run.read_json("evaluation.json")["criteria"]
    criteria[1] |= {"found": "one epoch only", "passed": None}
    change(run, "evaluation.json", criteria=criteria)
    text = words(report.build(run))
    assert "There is one epoch, so no curve to read." in text
    assert "0 of 2 success criteria of the course are met; 1 could not be measured" in text
    assert "one epoch only not measured" in text
    assert "“Training loss falls from first to last epoch” (found" not in text


def test_a_busy_machine_gives_no_ranking_by_speed(tmp_path, text):
    assert "One image takes least time in ONNX, 0.80 ms" in text
    assert "quiet machine" not in text
    run = make_run(tmp_path / "busy")
    formats = run.read_json("deployment.json")["formats"]
    formats[0]["latency_ms"] = 100.0
    change(run, "deployment.json", formats=formats)
    text = words(report.build(run))
    assert "differ 125-fold" in text
    assert "measure again on a quiet machine" in text
    assert "takes least time" not in text
    assert "What keeps it in" not in text


def test_a_profiled_step_is_compared_with_the_courses_way_and_the_peak(text):
    assert "it lasts 25.4 ms, and the course" in text
    assert "71.2 ms, 2.8 times as long" in text
    assert "The largest part, 70%, goes to: convolution, backward." in text
    assert "319 GFLOP/s over its whole duration, 46% of what" in text


def test_only_what_was_on_while_training_is_named(tmp_path, text):
    assert "while augmentation and dropout are on" in text
    run = make_run(tmp_path / "plain", model="resnet20", flip=False, crop_padding=0)
    layers = [x for x in run.read_json("model.json")["layers"] if x["type"] != "Dropout"]
    change(run, "model.json", layers=layers)
    text = words(report.build(run))
    assert "is measured while the weights still change" in text
    assert "dropout" not in text.lower().split("references")[0]


def test_smoothed_training_reports_the_plain_loss_and_no_advice_to_smooth(tmp_path, text):
    run = make_run(tmp_path / "smooth", label_smoothing=0.1)
    change(run, "training.json", verdict="overfitting")
    text = words(report.build(run))
    assert "The losses reported are the plain cross-entropy" in text
    assert "or weight decay, each" in text
    change(run, "training.json", verdict="underfitting")
    assert "Augment more" not in words(report.build(run))


def test_guessing_is_judged_by_the_largest_class(tmp_path):
    run = make_run(tmp_path / "uneven")
    rows = run.read_json("evaluation.json")["per_class"]
    rows[0]["support"] = 11000
    change(run, "evaluation.json", per_class=rows)
    text = words(report.build(run))
    assert "Always naming the largest class would score 55.0%" in text
    assert "1.4 times as often as always naming the largest class" in text


def test_inference_times_are_shown_where_they_were_measured(tmp_path, text):
    assert "Inference" not in text.split("Table 8.")[1][:200]
    run = make_run(tmp_path / "timed")
    rows = [row | {"inference_ms": 1.7} for row in run.read_json("model.json")["comparison"]]
    change(run, "model.json", comparison=rows)
    assert "Inference" in words(report.build(run))


def test_times_of_steps_may_differ_as_the_operations_do(tmp_path):
    run = make_run(tmp_path / "busy")
    for flops, busy in ((1.0, True), (50.0, False)):
        fast, slow = run.read_json("model.json")["comparison"]
        slow |= {"step_ms": 40 * fast["step_ms"], "flops": flops * fast["flops"]}
        change(run, "model.json", comparison=[fast, slow])
        assert ("further apart than the networks" in words(report.build(run))) == busy


def test_a_network_is_drawn_where_the_data_was_not_looked_at(tmp_path):
    run = make_run(tmp_path / "model", ("01_setup", "03_model"))
    assert "Each slab is what the layers" in words(report.build(run))


def test_the_pdf_is_tagged_and_claims_pdf_ua(complete):
    reader = PdfReader(complete.file("report.pdf"))
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    assert reader.trailer["/Root"]["/Lang"].startswith("en")
    assert b"pdfuaid:part" in reader.trailer["/Root"]["/Metadata"].get_data()


def test_every_figure_carries_its_alternative_text(complete):
    reader = PdfReader(complete.file("report.pdf"))
    found, todo = set(), [reader.trailer["/Root"]["/StructTreeRoot"]]
    while todo:
        node = todo.pop().get_object()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            found |= {str(node["/Alt"])} if "/Alt" in node else set()
            todo += [node["/K"]] if "/K" in node else []
    for names in FIGURES.values():
        for name in names:
            assert f"Alternative text of {name}" in found


def test_the_same_run_gives_the_same_bytes(complete, tmp_path):
    again = report.build(complete, tmp_path / "again.pdf")
    assert again.read_bytes() == complete.file("report.pdf").read_bytes()


@pytest.mark.parametrize("done", [1, 4])
def test_a_run_that_stopped_early_says_what_is_missing(tmp_path, done):
    run = make_run(tmp_path / "early", STEPS[:done])
    pdf = report.build(run)
    first = words(pdf, 1, 1)
    assert 12 <= len(PdfReader(pdf).pages) <= 30
    assert "The run is not complete" in first
    assert STEPS[5] in first
    assert "not measured" in first
    assert "78.12%" not in first


def test_files_of_a_step_that_is_not_done_do_not_count(tmp_path):
    run = make_run(tmp_path / "again")
    run.forget(["05_evaluation", "06_deployment"])
    first = words(report.build(run), 1, 1)
    assert "The run is not complete" in first
    assert "78.12%" not in first


def test_a_run_without_a_finished_step_has_no_report(tmp_path):
    with pytest.raises(LabError, match="run 01_setup first"):
        report.build(make_run(tmp_path / "none", ()))


def test_other_data_than_cifar10_is_loud_on_the_first_page(tmp_path):
    warning = "This run does NOT use CIFAR-10 but the embedded data set 'shapes'."
    run = make_run(tmp_path / "shapes", data="shapes", warning=warning)
    first = words(report.build(run), 1, 1)
    assert "Not CIFAR-10" in first
    assert "does NOT use CIFAR-10" in first
    assert "Image Classification on Shapes with PyTorch" in first
    assert "criteria of the course (set for CIFAR-10)" in first


def test_a_title_without_cifar10_is_kept(tmp_path, monkeypatch):
    params = load_params()
    params["report"] |= {"title": "Shapes and colours"}
    monkeypatch.setattr(report, "load_params", lambda: params)
    assert "Shapes and colours" in words(
        report.build(make_run(tmp_path / "own", data="shapes")), 1, 1
    )


def test_names_stay_text_whatever_characters_they_hold(tmp_path, monkeypatch):
    hostile = "#panic()[*_$<>@\\\"'` 李"
    params = load_params()
    params["report"] |= {"student": hostile, "title": "A #b_c* $x"}
    monkeypatch.setattr(report, "load_params", lambda: params)
    classes = ["a_b*c", "#let x", "$y$", "<z>", "@w", "[", "_very_" + "long_class_name" * 8]
    found = words(report.build(make_run(tmp_path / "odd =1", classes=classes)), 1, 8)
    assert "#panic()[*_$<>@\\\"'`" in found
    for name in classes[:5]:
        assert name in found


def test_many_classes_and_epochs_still_fit(tmp_path):
    classes = [f"class number {i}" for i in range(100)]
    pdf = report.build(make_run(tmp_path / "big", classes=classes, epochs=400))
    assert len(PdfReader(pdf).pages) <= 30


@pytest.mark.parametrize(
    ("settings", "phrase"),
    [
        (
            {"model": "speednet", "optimizer": "sgd", "lr": 167, "bias_lr": 13, "muon_lr": 0.1,
             "schedule": "linear", "warmup_fraction": 0, "tta": "flip_shift",
             "alternate_flip": True, "crop_fill": "reflect", "label_smoothing": 0.2},
            "Test-time averaging",
        ),
        ({"model": "compactnet", "optimizer": "sgd", "schedule": "cosine"}, "half a cosine wave"),
        ({"model": "resnet18", "pretrained": True}, "began as learned on ImageNet"),
        (
            {"model": "convnet", "schedule": "warm_restarts", "warmup_epochs": 1, "min_lr": 1e-6,
             "patience": 10, "rotation": 10, "color_jitter": (0.2, 0.2, 0.2, 0.1),
             "mixup": 0.2, "cutmix": 1, "folds": 5},
            "Early stopping",
        ),
        (
            {"schedule": "plateau", "accumulate": 4, "clip_norm": 1, "ema_decay": 0.99},
            "after 4 epochs in a row without a lower validation loss",
        ),
    ],
    ids=["speednet", "compactnet", "resnet18", "convnet", "plateau"],
)  # fmt: skip
def test_other_recipes_are_described_as_they_are(tmp_path, settings, phrase):
    assert phrase in words(report.build(make_run(tmp_path / "other", **settings)), 7, 14)


def test_a_missing_figure_is_named(tmp_path):
    run = make_run(tmp_path / "gap")
    run.file("figures/loss_curves.svg").unlink()
    with pytest.raises(LabError, match=r"'loss_curves'.*run 04_training again"):
        report.build(run)


def test_a_damaged_figure_or_file_is_named(tmp_path):
    run = make_run(tmp_path / "bad")
    samples = run.file("figures/samples.png")
    whole = samples.read_bytes()
    samples.write_bytes(b"no image")
    with pytest.raises(LabError, match=r"samples"):
        report.build(run)
    samples.write_bytes(whole)
    run.file("metrics.json").write_text('{"test_accuracy": NaN}', encoding="utf-8")
    with pytest.raises(LabError, match=r"metrics\.json.*damaged"):
        report.build(run)


def test_runs_beside_it_are_compared_and_seeds_taken_together(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_RUNS_DIR", str(tmp_path))
    run = make_run(tmp_path / "a", correct=7800)
    make_run(tmp_path / "b", correct=7900, seed=1)
    make_run(tmp_path / "c", correct=7000, lr=0.1)
    make_run(tmp_path / "other", correct=9999, data="shapes")
    make_run(tmp_path / "unfinished", STEPS[:4], seed=3)
    manifest = run.manifest
    other = Run(tmp_path / "other", run.settings)
    changed = other.manifest
    changed["05_evaluation"]["data"] = {"name": "shapes", "fingerprint": "1234"}
    write_json(other.file("manifest.json"), changed)
    assert manifest["05_evaluation"]["data"]["fingerprint"] == "00ff"
    text = words(report.build(run), 14, 22)
    assert "78.50%" in text  # the mean over two seeds
    assert "72.1%" in text  # ... and its interval: 12.706 * 0.00707 / sqrt(2) to either side
    assert "84.9%" in text
    assert "lr=0.1" in text
    assert "99.99%" not in text
