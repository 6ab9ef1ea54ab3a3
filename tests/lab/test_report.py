"""The report says what the run's files say, is readable by everyone, and fails in one sentence.

Most of the time goes into making PDFs and reading them: a report is shared by all tests of what it
says, and changes that do not meet are made to one run.
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tomllib

from fabricate import FIGURES, PACKAGES, change, make_run, words
from pypdf import PdfReader
import pytest
import torch
from torch import nn

from lab import report, student
from lab.cli import main
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_params, project_root
from lab_utils.core.run import OPTIONAL, STEPS, Run
from lab_utils.core.settings import MODELS
from lab_utils.training.history import read_history, write_history

SECTIONS = (
    "Introduction", "Aim and objectives", "Requirements", "Dataset", "Model",
    "Training configuration", "Metrics", "Implementation", "Results", "PyTorch as a tool",
    "Discussion", "Conclusion", "Future work", "References", "Code listing", "Detailed results",
    "Hardware and software of the run", "Error analysis and troubleshooting",
    "documents claim", "Model card",
)  # fmt: skip
# Recorded by the notebooks; the report says the same in a table, or shows it in another figure.
LEFT_OUT = ("class_counts", "kernel", "lr_schedule")


def told(run: Run, first: int = 1, last: int = 99) -> str:
    """The text of the report of ``run``, made now."""
    return words(report.build(run), first, last)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def complete(folder) -> Run:
    run = make_run(folder / "complete" / "quick")
    report.build(run)
    return run


@pytest.fixture(scope="module")
def text(complete) -> str:
    return words(complete.file("report.pdf"))


@pytest.fixture(scope="module")
def with_all(folder) -> str:
    """The report's text after `lab run --all`."""
    run = make_run(folder / "all" / "quick", (*STEPS, *OPTIONAL))
    text = told(run)
    assert 14 <= len(PdfReader(run.file("report.pdf")).pages) <= 30
    return text


@pytest.fixture(scope="module")
def strange(folder) -> Run:
    """A run in which much is other than usual, and a schedule that follows the loss."""
    run = make_run(
        folder / "strange" / "run", correct=7654, label_smoothing=0.1, schedule="plateau",
        accumulate=4, clip_norm=1, ema_decay=0.99,
    )  # fmt: skip
    change(
        run, "metrics.json", val_images=500, val_accuracy=0.70, ensemble_seeds=3,
        ensemble_accuracy=0.7999, test_loss_change_low=-0.0005, test_loss_change_high=0.0001,
        overconfident_accuracy=0.389, overconfident_confidence=0.713, overconfident_ece=0.324,
        overconfident_temperature=2.77, overconfident_ece_scaled=0.018,
        train_accuracy=0.8321, train_val_gap=0.0468,
    )  # fmt: skip
    rows = read_history(run.file("history.csv"))
    lower = [row._replace(val_accuracy=row.val_accuracy - 0.0803) for row in rows]
    write_history(run.file("history.csv"), lower)
    change(run, "hardware.json", rejected_device="mps", gradient_difference=0.4)
    change(run, "data.json", std=[0.1111, 0.2222, 0.3333], mean_of_image_std=[0.11, 0.22, 0.33])
    bins = [{"lower": 0.7, "upper": 0.8, "count": 9, "confidence": 0.76, "accuracy": 0.7654}]
    rows = run.read_json("evaluation.json")["per_class"]
    rows[0] |= {"support": 11000, "recall": 0.123}
    rows[1]["recall"] = 0.987
    change(run, "evaluation.json", reliability=bins, per_class=rows)
    later = {"epoch": 3, "step": 41, "threads": 1, "reason": "1,049 ms with 2"}
    change(
        run, "training.json", threads=[*run.read_json("training.json")["threads"], later],
        verdict="overfitting", best_epoch=3, best_val_accuracy=0.7171, images_per_second=1234.0,
    )  # fmt: skip
    fast, slow = run.read_json("model.json")["comparison"]
    fast |= {"parameters": 611111, "flops": 44_000_000, "inference_ms": 1.7}
    slow |= {"step_ms": 40 * fast["step_ms"], "flops": fast["flops"], "inference_ms": 1.7}
    change(run, "model.json", comparison=[fast, slow])
    formats = run.read_json("deployment.json")["formats"]
    formats[0]["latency_ms"] = 100.0
    change(run, "deployment.json", formats=formats)
    figures = run.read_json("figures.json")
    figures["overfit"]["caption"] = "T = 0.95 " * 60
    write_json(run.file("figures.json"), figures)
    report.build(run)
    return run


@pytest.fixture(scope="module")
def unusual(strange) -> str:
    return words(strange.file("report.pdf"))


@pytest.fixture(scope="module")
def unusual_all(folder) -> str:
    """The same of the optional notebooks; a network that is slow, and no convolution."""
    run = make_run(folder / "unusual_all" / "run", (*STEPS, *OPTIONAL), epochs=1)
    criteria = run.read_json("evaluation.json")["criteria"]
    criteria[1] |= {"found": "one epoch only", "passed": None}
    change(run, "evaluation.json", criteria=criteria)
    change(run, "training.json", verdict="underfitting")
    change(run, "insight.json", grad_cam_cells=None, heat_in_the_middle=None)
    lab = run.read_json("speed.json")["lab"]
    change(run, "speed.json", lab=lab | {"peak_gflops": lab["gflops"] / 2.31})
    fast, slow = run.read_json("model.json")["comparison"]
    slow |= {"step_ms": 40 * fast["step_ms"], "flops": 50.0 * fast["flops"]}
    change(run, "model.json", comparison=[fast, slow])
    return told(run)


def test_every_figure_of_merit_stands_in_its_own_row_and_column(text):
    for row in (
        "Accuracy 80.13% 78.03% 78.12%", "Cross-entropy \u2013 0.653 0.642",
        "Macro precision \u2013 \u2013 0.907", "Macro recall \u2013 \u2013 0.781",
        "Macro F1 \u2013 \u2013 0.82",
    ):  # fmt: skip
        assert row in text


def test_a_complete_run_gives_a_report_that_is_read(complete):
    pdf = complete.file("report.pdf")
    assert 14 <= len(PdfReader(pdf).pages) <= 20
    assert pdf.stat().st_size < 5e6


def test_every_section_is_there(text):
    for title in SECTIONS:
        assert title in text


def test_the_numbers_of_the_run_are_in_the_text(text):
    for number in (
        "78.12%", "77.30%", "78.92%", "0.642", "0.976", "620,810", "21.70 MFLOP", "45,000", "7,812",
    ):  # fmt: skip
        assert number in text


def test_a_complete_run_has_nothing_unmeasured_but_a_gpu(text, with_all):
    for found in (text, with_all):
        assert found.count("not measured") == 2
        assert "CPU: 3,777 images a second. GPU: not measured in this run." in found
        assert "“not measured” in this report" in found  # Troubleshooting explains the words


def test_the_sources_figures_are_quoted_and_explained(text):
    assert "79.84%" in text
    assert "102/128, but also 51/64 or 204/256" in text
    assert "7,968.75 images cannot be right" in text
    assert "199/256" in text


def test_what_the_course_claims_stands_beside_this_runs_values(text, unusual):
    """The table takes these values from the run's files: other files, other values."""
    for found, values in (
        (text, (
            "7,812 of 10,000", "80.13% in evaluation mode", "gap is +2.1", "3,777 images a second",
            "0.2470, 0.2435, 0.2616", "0.2023, 0.1994, 0.2010", "recall goes from 78.1% to 78.2%",
            "10.85 M multiply-adds, or 21.70 MFLOP", "620,810 for SimpleCNN", "2.40 ms an image",
        )),
        (unusual, (
            "7,654 of 10,000", "83.21% in evaluation mode", "gap is +4.7", "1,234 images a second",
            "epoch 3 is best on them with 71.71%", "0.1111, 0.2222, 0.3333",
            "0.1100, 0.2200, 0.3300", "recall goes from 12.3% to 98.7%",
            "22.00 M multiply-adds, or 44.00 MFLOP", "611,111 for SimpleCNN", "100.00 ms an image",
        )),
    ):  # fmt: skip
        claims = found.split("documents, quoted, and what is true.")[-1]
        for value in values:
            assert value in claims
        assert "; which is best, validation decides" in claims
        # These follow from what the documents say themselves.
        assert "20 epochs are 1,000,000 images: that time means 1,400 to 2,100 a second" in claims
        assert "Its log has 36 min 40 s, or 455 a second" in claims
        assert "CIFAR-10 has 163 MB These are MiB: the archive has 170.50 MB" in claims


def test_pytorch_is_judged_by_what_the_run_measured(text, with_all):
    assert "The loop of one epoch is 15 lines" in text
    assert "One image took 2.40 ms in plain PyTorch and 0.80 ms in ONNX Runtime, 3.0 times" in text
    assert "4 of 4 in float32 give the same predictions on all 1,000 test images" in text
    assert "took the training step from 71 to 25 ms" in with_all
    assert "took the training step" not in text


def test_what_pytorch_says_to_a_mistake_is_what_it_says(text):
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    loss = (torch.ones(2, requires_grad=True) ** 2).sum()
    loss.backward()
    for mistake in (lambda: nn.Conv2d(3, 8, 3)(images), loss.backward):
        with pytest.raises(RuntimeError) as says:
            mistake()
        quoted = re.findall(r"“([^”]+)”", text.split("Mistakes in PyTorch")[1])
        assert any(str(says.value).startswith(words) for words in quoted)
    sure = nn.functional.cross_entropy(torch.eye(10)[:1], torch.tensor([0]))
    assert f"with ten classes it stays at {sure:.2f}" in text


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
        text = page.extract_text()
        for kind, caption in re.findall(r"^(Table|Figure) (\d+)\. ", text, re.M):
            found[kind, int(caption)] = number
        if number < len(reader.pages):
            assert len(text) > 700  # no page is nearly empty but the last

    def pages(title: str) -> range:
        place = next(i for i, name in enumerate(titles) if title in name)
        return range(starts[place][1], starts[place + 1][1] + 1)

    for kind, number, title in (
        ("Table", 1, "Requirements"), ("Table", 2, "Requirements"), ("Table", 3, "Dataset"),
        ("Figure", 4, "Dataset"), ("Figure", 5, "Model"), ("Table", 7, "Model"),
        ("Table", 9, "Implementation"), ("Table", 10, "Results"), ("Figure", 18, "Results"),
        ("Table", 17, "PyTorch as a tool"), ("Table", 18, "PyTorch as a tool"),
        ("Figure", 20, "PyTorch as a tool"),
    ):  # fmt: skip
        assert found[kind, number] in pages(title), (kind, number)


def test_the_software_table_shows_the_ranges_of_the_project(text):
    text_of = (project_root() / "pyproject.toml").read_text(encoding="utf-8")
    for dependency in tomllib.loads(text_of)["project"]["dependencies"]:
        name, least = dependency.split(">=")
        if name in PACKAGES:
            assert f"{name} ≥ {least} 2.14.1" in text


def test_test_and_validation_accuracy_are_compared_with_both_errors(text, unusual):
    # 1.96 * sqrt(0.7812 * 0.2188 / 10,000 + 0.7803 * 0.2197 / 5,000) = 0.0140
    assert "They differ by 0.1 points; chance alone explains up to 1.4 points." in text
    assert "They differ by 6.5 points; chance alone explains up to 4.1 points." in unusual
    assert "The rest is more than chance" in unusual
    assert "agree: they differ" not in unusual


def test_two_gaps_are_told_apart(text):
    assert "This judges the weights of the last epoch" in text
    assert "points, is that of the best epoch" in text
    assert "weights; the reading of the curves in Section 9.2 judges those" in text


def test_calibration_is_judged_within_the_uncertainty(text, unusual):
    assert "differ by 3.2 percentage points" in text
    assert "too sure" in text
    assert "within the uncertainty" not in text
    assert "as sure as it is right, within the uncertainty" in unusual


def test_temperature_and_an_ensemble_are_told_where_there_are_any(text, unusual):
    assert "here 1.235, which was fitted on the validation images" in text
    assert "in nothing but their seed" not in text
    assert "networks that differ in nothing but their seed classifies 79.99%" in unusual


def test_a_change_within_chance_and_an_overconfident_network_are_told(text, unusual):
    assert "no more than chance" not in text
    assert "a few training images by heart" not in text
    assert "in cross-entropy holds zero: it is no more than chance" in unusual
    assert "38.9% of the test images, with a mean confidence of 71.3%" in unusual


def test_the_optional_notebooks_add_their_sections(text, with_all):
    assert "What the model looks at" in with_all
    assert "profiler divides a training step" in with_all
    for name in FIGURES["08_speed"] + FIGURES["09_insight"]:
        assert f"Caption of {name}" in with_all
        assert f"Caption of {name}" not in text
    assert "What the model looks at" not in text
    assert "profiler" not in text


def test_what_the_model_looks_at_and_what_breaks_it_is_said(with_all, unusual_all):
    assert "41.0% lies in the central quarter" in with_all
    assert "leaves 37.0% of the same images right when made in one step" in with_all
    assert "21.0% (95% interval 17.0% to 25.0%) when made in ten" in with_all
    assert "The worst is blur of 0.5 pixels" in with_all
    assert "needs a convolution, which this network does not have" in unusual_all
    assert "Caption of grad_cam" not in unusual_all  # left over from an earlier time


def test_a_rate_above_the_peak_is_called_not_measurable(with_all, unusual_all):
    assert "46% of what one large matrix product in" in with_all
    assert "not measurable then" in unusual_all
    assert "231%" not in unusual_all


def test_a_device_that_was_rejected_is_said(text, unusual):
    assert "gradient on cpu differs from a float64 reference by 3.1" in text
    assert "on mps differs from a float64 reference by 0.4 of its length, so that" in unusual


def test_one_epoch_has_no_curve_and_an_unmeasured_criterion(unusual_all):
    assert "There is one epoch, so no curve to read." in unusual_all
    assert (
        "0 of 2 success criteria that the lab takes from the course are met; 1 could not be"
        in unusual_all
    )
    assert "one epoch only not measured" in unusual_all
    assert "“Training loss falls from first to last epoch” (found" not in unusual_all


def test_a_busy_machine_gives_no_ranking_by_speed(text, unusual):
    assert "One image takes least time in int8 ONNX, 0.50 ms" in text
    assert "quiet machine" not in text
    assert "differ 200-fold" in unusual
    assert "measure again on a quiet machine" in unusual
    assert "takes least time" not in unusual
    assert "What keeps it in" not in unusual
    assert "times of this run cannot be compared: the machine was busy" in unusual
    assert "in plain PyTorch and" not in unusual


def test_the_threads_of_a_training_and_their_reasons_are_told(text, unusual):
    assert "Computed by 2, because 64 ms with 1, 38 ms with 2." in text
    assert "by 1 from step 41 of epoch 3 on, because 1,049 ms with 2." in unusual
    assert "only their rounding differs" in unusual


def test_a_profiled_step_is_compared_with_the_courses_way_and_the_peak(with_all):
    assert "it lasts 25.4 ms, and the course" in with_all
    assert "71.2 ms, 2.8 times as long" in with_all
    assert "The largest part, 70%, goes to: convolution, backward." in with_all
    assert "run at 319 GFLOP/s over its whole duration" in with_all
    assert "at 114 GFLOP/s. That is 46% of what" in with_all
    assert "71% of what one in float32 reaches" in with_all


def test_smoothed_training_reports_the_plain_loss_and_no_advice_to_smooth(unusual, unusual_all):
    assert "The losses reported are the plain cross-entropy" in unusual
    assert "or weight decay, each" in unusual
    assert "Augment more" not in unusual_all  # underfitting


def test_guessing_is_judged_by_the_largest_class(unusual):
    assert "Always naming the largest class would score 55.0%" in unusual
    assert "1.4 times as often as always naming the largest class" in unusual


def test_inference_times_are_shown_where_they_were_measured(text, unusual):
    for found, measured in ((text, False), (unusual, True)):
        assert ("Inference" in found.split("The models of the lab.")[1][:200]) == measured


def test_times_of_steps_may_differ_as_the_operations_do(unusual, unusual_all):
    assert "further apart than the networks" in unusual
    assert "further apart than the networks" not in unusual_all


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
    for step in STEPS:
        for name in FIGURES[step]:
            assert (f"Alternative text of {name}" in found) == (name not in LEFT_OUT)


def test_no_line_of_a_caption_breaks_within_an_equation(strange):
    pages = PdfReader(strange.file("report.pdf")).pages[4:8]
    lines = [line.strip() for page in pages for line in page.extract_text().splitlines()]
    assert sum("T = 0.95" in line.replace("\u00a0", " ") for line in lines) > 3
    assert not [line for line in lines if re.search(r"\bT$|=$|^=|^0\.95", line)]


def test_the_same_run_gives_the_same_bytes(complete):
    before = complete.file("report.pdf").read_bytes()
    assert report.build(complete).read_bytes() == before


def test_a_run_that_stopped_early_says_what_is_missing(folder):
    """After few steps, without the data, and where files of later steps still lie there."""
    few, run = ("01_setup", "03_model"), make_run(folder / "again" / "run")
    run.forget(["05_evaluation", "06_deployment"])
    for early in (make_run(folder / "early" / "run", few), run):
        pdf = report.build(early)
        first = words(pdf, 1, 1)
        assert 12 <= len(PdfReader(pdf).pages) <= 20
        assert "The run is not complete" in first
        assert STEPS[5] in first
        assert "not measured" in first
        assert "78.12%" not in first
    drawn = words(folder / "early" / "run" / "report.pdf", 3, 8)
    assert "Each slab is what the layers" in drawn  # the network, whose data was not looked at


def test_a_run_without_a_finished_step_has_no_report(tmp_path):
    with pytest.raises(LabError, match="run 01_setup first"):
        report.build(make_run(tmp_path / "none", ()))


def test_other_data_than_cifar10_is_loud_on_the_first_page(tmp_path):
    warning = "This run does NOT use CIFAR-10 but the embedded data set 'shapes'."
    run = make_run(tmp_path / "shapes", (*STEPS, *OPTIONAL), data="shapes", warning=warning)
    change(run, "insight.json", heat_in_the_middle=None, grad_cam_cells=[2, 2])
    first = told(run, 1, 1)
    assert "Not CIFAR-10" in first
    assert "does NOT use CIFAR-10" in first
    assert "Image Classification on Shapes with PyTorch" in first
    assert "from the course (set for CIFAR-10)" in first
    assert "So few cells do not tell the middle" in words(run.file("report.pdf"), 11, 15)


def test_names_stay_text_and_many_classes_and_epochs_fit(tmp_path, monkeypatch):
    hostile = "#panic()[*_$<>@\\\"'` 李"
    params = load_params()
    params.report |= {"student": hostile, "title": "A #b_c* $x"}
    monkeypatch.setattr(student, "load_params", lambda: params)
    classes = ["a_b*c", "#let x", "$y$", "<z>", "@w", "[", "_very_" + "long_class_name" * 8]
    classes += [f"class number {i}" for i in range(93)]
    run = make_run(tmp_path / "odd =1", classes=classes, epochs=400, data="shapes")
    found = told(run, 1, 8)
    assert "A #b_c* $x" in found  # a title without CIFAR-10 is kept, whatever the data
    assert "#panic()[*_$<>@\\\"'`" in found
    for name in classes[:5]:
        assert name in found
    assert len(PdfReader(run.file("report.pdf")).pages) <= 30


def test_a_training_that_diverged_is_reported_with_numbers_of_any_size(tmp_path):
    run = make_run(tmp_path / "lost")
    change(run, "training.json", verdict="diverged", final_val_loss=3.6e12)
    change(run, "metrics.json", test_loss=1.1e19)
    found = told(run)
    assert "1.1 \u00d7 10¹⁹" in found
    assert "The training diverged" in found and "Lower the learning rate." in found
    assert "It generalises" not in found


RECIPES = {
    "speednet": {
        "optimizer": "sgd", "lr": 167, "bias_lr": 13, "muon_lr": 0.1, "schedule": "linear",
        "warmup_fraction": 0, "tta": "flip_shift", "alternate_flip": True, "crop_fill": "reflect",
        "train_sides": (24, 32),
    },
    "compactnet": {"optimizer": "sgd", "schedule": "cosine"},
    "resnet18": {"pretrained": True},
    "convnet": {
        "schedule": "warm_restarts", "warmup_epochs": 1, "min_lr": 1e-6, "patience": 10,
        "rotation": 10, "color_jitter": (0.2, 0.2, 0.2, 0.1), "mixup": 0.2, "cutmix": 1, "folds": 5,
    },
    "resnet20": {"flip": False, "crop_padding": 0},
}  # fmt: skip
PHRASES = {
    "speednet": "Averages over the mirror image and shifts by a pixel",
    "compactnet": "Falls along half a cosine to 0",
    "resnet18": "began as learned on ImageNet",
    "convnet": "Stops so many epochs after the best validation accuracy",
    "resnet20": "is measured while the weights still change",
}
OTHERS = [model for model in MODELS if model != "simplecnn"]


@pytest.mark.parametrize("model", OTHERS)
def test_other_networks_and_recipes_are_described_as_they_are(folder, model):
    run = make_run(folder / model / "run", model=model, **RECIPES.get(model, {}))
    if model == "resnet20":  # it has no dropout
        layers = [x for x in run.read_json("model.json")["layers"] if x["type"] != "Dropout"]
        change(run, "model.json", layers=layers)
    text = told(run, 4, 9)  # it is made, so the listing has found the network's class
    assert PHRASES.get(model, "") in text
    assert ("scaled to 24 and 32 pixels a side" in text) == (model == "speednet")
    if model == "resnet20":  # only what was on while training is named
        assert "dropout" not in text.lower()


def test_a_schedule_that_follows_the_loss_is_described(text, unusual):
    assert "Times 0.1 once more than 3 epochs brought no lower validation loss" in unusual
    assert "while augmentation and dropout are on" in text


def test_a_missing_figure_is_named(tmp_path):
    run = make_run(tmp_path / "gap")
    run.file("figures/loss_curves.svg").unlink()
    with pytest.raises(LabError, match=r"loss_curves\.svg is missing; run 04_training again"):
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


@pytest.mark.parametrize(
    "way",
    ["dots", "an absolute path", "a link", "a link in an SVG", "an address in an SVG",
     "a part in an SVG", "an SVG in gzip", "the folder of the card"],
)  # fmt: skip
def test_nothing_outside_the_run_folder_is_read_or_written(tmp_path, way):
    run = make_run(tmp_path / "run")
    secret = tmp_path / "secret.svg"
    secret.write_bytes(run.file("figures/loss_curves.svg").read_bytes())
    figures = run.read_json("figures.json")
    if way == "the folder of the card":
        (tmp_path / "exports").mkdir()
        run.file("exports").symlink_to(tmp_path / "exports")
    if way == "an SVG in gzip":
        run.file("figures/link.svg").write_bytes(gzip.compress(secret.read_bytes()))
    if way == "a link":
        run.file("figures/link.svg").symlink_to(secret)
    # What Typst takes for no address and no part of the SVG, it takes for a path.
    schemes = {"a link in an SVG": "", "an address in an SVG": "data:/", "a part in an SVG": "#/"}
    if way in schemes:
        image = f'<image href="{schemes[way]}../../secret.svg"/>'
        drawing = f'<svg xmlns="http://www.w3.org/2000/svg">{image}</svg>'
        run.file("figures/link.svg").write_text(drawing, encoding="utf-8")
    names = {"dots": "figures/../../secret.svg", "an absolute path": str(secret)}
    if way != "the folder of the card":
        figures["loss_curves"]["file"] = names.get(way, "figures/link.svg")
    write_json(run.file("figures.json"), figures)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    refused = r"(leads out of|refers to another file|figures\.json is damaged).*again"
    with pytest.raises(LabError, match=refused):
        report.build(run)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_link_at_the_name_of_the_unfinished_report_is_not_followed(tmp_path):
    run, victim = make_run(tmp_path / "run"), tmp_path / "victim"
    victim.write_text("precious")
    run.file(f".report.{os.getpid()}.tmp.pdf").symlink_to(victim)
    assert not report.build(run).is_symlink()
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("wrong", ["train_size of 5,000 digits", "no name in UTF-8", "a circle"])
def test_a_strange_neighbour_is_left_out_of_the_report(tmp_path, capsys, wrong):
    run, name = make_run(tmp_path / "own"), os.fsdecode(b"odd\xff")
    beside = make_run(tmp_path / ("odd" if wrong != "no name in UTF-8" else name), seed=43)
    if wrong == "train_size of 5,000 digits":
        text = beside.file("settings.yaml").read_text(encoding="utf-8")
        text = text.replace('"train_size": null', '"train_size": 0x' + "f" * 5000)
        beside.file("settings.yaml").write_text(text, encoding="utf-8")
    elif wrong == "a circle":
        beside.file("predictions.npz").unlink()
        beside.file("predictions.npz").symlink_to("predictions.npz")
    else:
        beside.file("metrics.json").write_text("x")
    assert "left out" in words(report.build(run))
    assert "left out of the comparison, odd" in capsys.readouterr().err


def test_results_that_are_a_link_out_of_the_run_folder_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    run.file("metrics.json").rename(tmp_path / "metrics.json")
    run.file("metrics.json").symlink_to(tmp_path / "metrics.json")
    with pytest.raises(LabError, match=r"metrics\.json leads out of the folder of run 'run'"):
        report.build(run)


def test_a_character_that_no_font_has_is_a_box_in_a_report_without_pdf_ua(tmp_path, capsys):
    private = "\U000f0000"  # of Unicode's private use: no font gives it a shape
    pdf = report.build(make_run(tmp_path / "odd", classes=["cat", f"dog {private}"]))
    metadata = PdfReader(pdf).trailer["/Root"]["/Metadata"].get_data()
    assert b"pdfuaid:part" not in metadata
    assert "dog" in words(pdf)
    errors = capsys.readouterr().err
    assert "could not be displayed" in errors and errors.count("\n") == 1


def test_the_code_that_trained_the_network_is_printed(text):
    code = text.split("Code listing")[-1].replace(" ", "")
    for first, last in (
        ("classSimpleCNN(nn.Module):", "returnself.classifier(self.features(images))"),
        ("deftrain_epoch(", "return"),
        ("defaccuracy(", "return"),
    ):
        code = code[code.index(first) :]
        assert last in code


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
    text = told(run, 9, 20)
    assert "78.50%" in text  # the mean over two seeds
    assert "lr=0.1" in text
    assert "99.99%" not in text


@pytest.mark.parametrize(
    ("file", "step", "field", "bad"),
    [
        ("hardware.json", "01_setup", "device", -1),
        ("data.json", "02_data", "train_images", -1),
        ("model.json", "03_model", "flops", 0.5),
        ("training.json", "04_training", "best_val_accuracy", 1.01),
        ("evaluation.json", "05_evaluation", "per_class", []),
        ("metrics.json", "05_evaluation", "macro_f1", 1.01),
        ("deployment.json", "06_deployment", "images_compared", 0),
        ("speed.json", "08_speed", "lab", {}),
        ("insight.json", "09_insight", "pgd_accuracy", -0.01),
    ],
)  # fmt: skip
def test_a_damaged_file_of_any_step_is_one_sentence(runs, capsys, file, step, field, bad):
    """Before Typst sees it; what is wrong with which field is tried of all in test_records.py."""
    run = make_run(runs / "odd", (*STEPS, *OPTIONAL))
    record = run.read_json(file)
    fields = [record | {field: value} for value in (bad, {"an": "object"}, float("nan"), 10**400)]
    fields.append({key: value for key, value in record.items() if key != field})
    whole = [json.dumps(values) for values in (*fields, [], None)]
    for content in (*whole, "{", "[" * 5000, ""):
        run.file(file).write_text(content, encoding="utf-8")
        assert main(["report", "odd"]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"lab: {run.file(file)} ") and said.count("\n") == 1
        named = f"run {step} again" if content in whole else "delete it and run again"
        assert named in said and (field in said or content not in whole[:5]), said


def test_a_damaged_history_or_list_of_figures_is_one_sentence(tmp_path):
    run = make_run(tmp_path / "odd", STEPS[:4])
    for file, content in (("figures.json", "[]"), ("history.csv", "epoch,lr\n1,fast\n")):
        whole = run.file(file).read_bytes()
        run.file(file).write_text(content)
        with pytest.raises(LabError, match=rf"{file} is damaged .*again"):
            report.build(run)
        run.file(file).write_bytes(whole)


@pytest.mark.parametrize(
    "entry",
    [
        {"started": "yesterday"}, {"started": 3}, {"started": "2026-02-30T00:00:00+00:00"},
        {"started": "0970-01-01T00:00:00+00:00"},
        {"started": "9999-12-31T23:59:59+00:00"}, {"started": "2026-03-02T10:00:00"},
        {"seconds": True}, {"seconds": 1e308}, {"seconds": -1}, {"peak_memory_mb": "2 GB"},
        {"versions": [1]}, {"git_commit": {}}, {"python": None},
    ],
)  # fmt: skip
def test_an_entry_of_the_manifest_that_cannot_be_is_one_sentence(tmp_path, entry):
    run = make_run(tmp_path / "odd")
    manifest = run.manifest
    for step in ("04_training", "05_evaluation"):
        write_json(run.file("manifest.json"), manifest | {step: manifest[step] | entry})
        with pytest.raises(LabError, match=rf"manifest\.json is damaged \({step}.*delete it"):
            report.build(run)
    for lost in ("started", "seconds"):
        kept = {key: value for key, value in manifest["06_deployment"].items() if key != lost}
        write_json(run.file("manifest.json"), manifest | {"06_deployment": kept})
        with pytest.raises(LabError, match=r"manifest\.json is damaged \(06_deployment"):
            report.build(run)


def test_what_nobody_reads_does_no_harm_whatever_it_holds(tmp_path):
    """Typst is handed what was checked, and nothing beside it."""
    run = make_run(tmp_path / "odd", STEPS[:2])
    for file, place in (("manifest.json", "01_setup"), ("figures.json", "samples")):
        for value in ("\ud800", 10**400, [["\ud800"]]):
            record = run.read_json(file)
            record[place]["more"] = value
            run.file(file).write_text(json.dumps(record))
            assert report.build(run).is_file()


def test_a_clock_that_begins_at_1970_has_a_report(tmp_path):
    run = make_run(tmp_path / "early", STEPS[:2])
    manifest = run.manifest
    for zone in ("+00:00", "+02:00"):  # the second is a day before it
        for entry in manifest.values():
            entry["started"] = f"1970-01-01T00:05:00{zone}"
        write_json(run.file("manifest.json"), manifest)
        assert "1970" in told(run, 1, 1)


def test_a_report_needs_no_pytorch():
    """`lab run` imports this beside the process that loads PyTorch for the kernels."""
    code = "import sys, lab.report, lab.student; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_a_lab_that_is_no_checkout_has_a_report_without_a_commit(tmp_path):
    run = make_run(tmp_path / "unpacked")
    manifest = run.manifest
    for entry in manifest.values():
        entry["git_commit"] = None  # as notebooks from a ZIP file have it
    write_json(run.file("manifest.json"), manifest)
    assert "0123456789ab" not in told(run)
