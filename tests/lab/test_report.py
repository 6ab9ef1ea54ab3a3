"""The report says what the run's files say, is readable by everyone, and fails in one sentence."""

import re
import subprocess
import sys
import tomllib

from fabricate import FIGURES, PACKAGES, change, make_run, words
from pypdf import PdfReader
import pytest

from lab import report, student
from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import load_params, project_root
from lab_utils.core.run import OPTIONAL, STEPS, Run
from lab_utils.core.settings import MODELS

SECTIONS = (
    "Introduction", "Aim and objectives", "Requirements", "Dataset", "Model",
    "Training configuration", "Metrics", "Implementation", "Results", "Discussion", "Conclusion",
    "Future work", "References", "Code listing", "Detailed results",
    "Hardware and software of the run", "Error analysis and troubleshooting",
)  # fmt: skip


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Run:
    run = make_run(tmp_path_factory.mktemp("runs") / "quick")
    report.build(run)
    return run


@pytest.fixture(scope="module")
def text(complete) -> str:
    return words(complete.file("report.pdf"))


@pytest.fixture(scope="module")
def with_all(tmp_path_factory) -> str:
    """The report's text after `lab run --all`."""
    steps = (*STEPS, *OPTIONAL)
    return words(report.build(make_run(tmp_path_factory.mktemp("runs") / "all", steps)))


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
    assert found["Figure", 18] in pages("Results")


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


def test_temperature_and_an_ensemble_are_told_where_there_are_any(tmp_path, text):
    assert "here 1.235, which was fitted on the validation images" in text
    assert "in nothing but their seed" not in text
    run = make_run(tmp_path / "several")
    change(run, "metrics.json", ensemble_seeds=3, ensemble_accuracy=0.7999)
    text = words(report.build(run))
    assert "networks that differ in nothing but their seed classifies 79.99%" in text


def test_a_change_within_chance_and_an_overconfident_network_are_told(tmp_path, text):
    assert "no more than chance" not in text
    assert "a few training images by heart" not in text
    run = make_run(tmp_path / "scaled")
    change(
        run, "metrics.json", test_loss_change_low=-0.0005, test_loss_change_high=0.0001,
        overconfident_accuracy=0.389, overconfident_confidence=0.713, overconfident_ece=0.324,
        overconfident_temperature=2.77, overconfident_ece_scaled=0.018,
    )  # fmt: skip
    text = words(report.build(run))
    assert "in cross-entropy holds zero: it is no more than chance" in text
    assert "38.9% of the test images, with a mean confidence of 71.3%" in text


def test_the_optional_notebooks_add_their_sections(text, with_all):
    assert "What the model looks at" in with_all
    assert "profiler divides a training step" in with_all
    for name in FIGURES["08_speed"] + FIGURES["09_insight"]:
        assert f"Caption of {name}" in with_all
        assert f"Caption of {name}" not in text
    assert with_all.count("not measured") == 1
    assert "What the model looks at" not in text
    assert "profiler" not in text


def test_what_the_model_looks_at_and_what_breaks_it_is_said_as_far_as_it_can_be(tmp_path, with_all):
    assert "41.0% lies in the central quarter" in with_all
    assert "leaves 37.0% of the same images right when made in one step" in with_all
    assert "21.0% (95% interval 17.0% to 25.0%) when made in ten" in with_all
    assert "The worst is blur of 0.5 pixels" in with_all
    run = make_run(tmp_path / "without_convolutions", (*STEPS, *OPTIONAL))
    change(run, "insight.json", grad_cam_cells=None, heat_in_the_middle=None)
    text = words(report.build(run))
    assert "needs a convolution, which this network does not have" in text
    assert "Caption of grad_cam" not in text  # left over from an earlier time
    change(run, "insight.json", grad_cam_cells=[2, 2])
    assert "So few cells do not tell the middle" in words(report.build(run))


def test_a_rate_above_the_peak_is_called_not_measurable(tmp_path, with_all):
    assert "46% of what one large matrix product in" in with_all
    run = make_run(tmp_path / "busy", (*STEPS, *OPTIONAL))
    lab = run.read_json("speed.json")["lab"]
    change(run, "speed.json", lab=lab | {"peak_gflops": lab["gflops"] / 2.31})
    text = words(report.build(run))
    assert "not measurable then" in text
    assert "231%" not in text


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
    assert (
        "0 of 2 success criteria that the lab takes from the course are met; 1 could not be" in text
    )
    assert "one epoch only not measured" in text
    assert "“Training loss falls from first to last epoch” (found" not in text


def test_a_busy_machine_gives_no_ranking_by_speed(tmp_path, text):
    assert "One image takes least time in int8 ONNX, 0.50 ms" in text
    assert "quiet machine" not in text
    run = make_run(tmp_path / "busy")
    formats = run.read_json("deployment.json")["formats"]
    formats[0]["latency_ms"] = 100.0
    change(run, "deployment.json", formats=formats)
    text = words(report.build(run))
    assert "differ 200-fold" in text
    assert "measure again on a quiet machine" in text
    assert "takes least time" not in text
    assert "What keeps it in" not in text


def test_the_threads_of_a_training_and_their_reasons_are_told(tmp_path, text):
    assert "Computed by 2, because 64 ms with 1, 38 ms with 2." in text
    run = make_run(tmp_path / "changed")
    later = {"epoch": 3, "step": 41, "threads": 1, "reason": "1,049 ms with 2"}
    threads = [*run.read_json("training.json")["threads"], later]
    change(run, "training.json", threads=threads)
    text = words(report.build(run))
    assert "by 1 from step 41 of epoch 3 on, because 1,049 ms with 2." in text
    assert "only their rounding differs" in text


def test_a_profiled_step_is_compared_with_the_courses_way_and_the_peak(with_all):
    assert "it lasts 25.4 ms, and the course" in with_all
    assert "71.2 ms, 2.8 times as long" in with_all
    assert "The largest part, 70%, goes to: convolution, backward." in with_all
    assert "run at 319 GFLOP/s over its whole duration" in with_all
    assert "at 114 GFLOP/s. That is 46% of what" in with_all
    assert "71% of what one in float32 reaches" in with_all


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
    for step in STEPS:
        for name in FIGURES.get(step, ()):
            assert f"Alternative text of {name}" in found


def test_the_same_run_gives_the_same_bytes(complete):
    before = complete.file("report.pdf").read_bytes()
    assert report.build(complete).read_bytes() == before


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
    assert "from the course (set for CIFAR-10)" in first


def test_a_title_without_cifar10_is_kept(tmp_path, monkeypatch):
    params = load_params()
    params.report |= {"title": "Shapes and colours"}
    monkeypatch.setattr(student, "load_params", lambda: params)
    assert "Shapes and colours" in words(
        report.build(make_run(tmp_path / "own", data="shapes")), 1, 1
    )


def test_names_stay_text_whatever_characters_they_hold(tmp_path, monkeypatch):
    hostile = "#panic()[*_$<>@\\\"'` 李"
    params = load_params()
    params.report |= {"student": hostile, "title": "A #b_c* $x"}
    monkeypatch.setattr(student, "load_params", lambda: params)
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
            "Test-time augmentation: average over the mirror image",
        ),
        (
            {"model": "compactnet", "optimizer": "sgd", "schedule": "cosine"},
            "Falls along half a cosine to 0",
        ),
        ({"model": "resnet18", "pretrained": True}, "began as learned on ImageNet"),
        (
            {"model": "convnet", "schedule": "warm_restarts", "warmup_epochs": 1, "min_lr": 1e-6,
             "patience": 10, "rotation": 10, "color_jitter": (0.2, 0.2, 0.2, 0.1),
             "mixup": 0.2, "cutmix": 1, "folds": 5},
            "Stops so many epochs after the best validation accuracy",
        ),
        (
            {"schedule": "plateau", "accumulate": 4, "clip_norm": 1, "ema_decay": 0.99},
            "Times 0.1 once more than 3 epochs brought no lower validation loss",
        ),
    ],
    ids=["speednet", "compactnet", "resnet18", "convnet", "plateau"],
)  # fmt: skip
def test_other_recipes_are_described_as_they_are(tmp_path, settings, phrase):
    assert phrase in words(report.build(make_run(tmp_path / "other", **settings)), 7, 14)


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


@pytest.mark.parametrize("way", ["dots", "an absolute path", "a link", "a link in an SVG"])
def test_nothing_outside_the_run_folder_is_read_or_written(tmp_path, way):
    run = make_run(tmp_path / "run")
    secret = tmp_path / "secret.svg"
    secret.write_bytes(run.file("figures/loss_curves.svg").read_bytes())
    figures = run.read_json("figures.json")
    if way == "a link":
        run.file("figures/link.svg").symlink_to(secret)
    elif way == "a link in an SVG":
        drawing = '<svg xmlns="http://www.w3.org/2000/svg"><image href="../../secret.svg"/></svg>'
        run.file("figures/link.svg").write_text(drawing, encoding="utf-8")
    names = {"dots": "figures/../../secret.svg", "an absolute path": str(secret)}
    figures["loss_curves"]["file"] = names.get(way, "figures/link.svg")
    write_json(run.file("figures.json"), figures)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(LabError, match=r"(leads out of the folder|refers to another file).*again"):
        report.build(run)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_results_that_are_a_link_out_of_the_run_folder_are_refused(tmp_path):
    run = make_run(tmp_path / "run")
    run.file("metrics.json").rename(tmp_path / "metrics.json")
    run.file("metrics.json").symlink_to(tmp_path / "metrics.json")
    with pytest.raises(LabError, match=r"metrics\.json leads out of the folder of run 'run'"):
        report.build(run)


def test_a_character_that_no_font_has_is_a_box_in_a_report_without_pdf_ua(tmp_path):
    private = "\U000f0000"  # of Unicode's private use: no font gives it a shape
    pdf = report.build(make_run(tmp_path / "odd", classes=["cat", f"dog {private}"]))
    metadata = PdfReader(pdf).trailer["/Root"]["/Metadata"].get_data()
    assert b"pdfuaid:part" not in metadata
    assert "dog" in words(pdf)


def test_the_code_that_trained_the_network_is_printed(text):
    code = text.split("Code listing")[-1].replace(" ", "")
    for first, last in (
        ("classSimpleCNN(nn.Module):", "returnself.classifier(self.features(images))"),
        ("deftrain_epoch(", "return"),
        ("defnormalize(", "return"),
        ("def__iter__(self)", "yield"),
        ("defaccuracy(", "return"),
    ):
        code = code[code.index(first) :]
        assert last in code


@pytest.mark.parametrize("model", [model for model in MODELS if model != "simplecnn"])
def test_the_class_of_every_network_is_found(tmp_path, model):
    text = words(report.build(make_run(tmp_path / model, model=model))).replace(" ", "")
    assert f"class{model.replace('_', '')}(" in text.lower()


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
    assert "lr=0.1" in text
    assert "99.99%" not in text


@pytest.mark.parametrize(
    ("file", "content"),
    [("metrics.json", {}), ("evaluation.json", []), ("figures.json", []), ("deployment.json", {})],
)
def test_a_file_of_another_kind_is_one_sentence(tmp_path, file, content):
    run = make_run(tmp_path / "odd")
    write_json(run.file(file), content)
    with pytest.raises(LabError, match="again"):
        report.build(run)


def test_a_report_needs_no_pytorch():
    """`lab run` imports this beside the process that loads PyTorch for the kernels."""
    code = "import sys, lab.report, lab.student; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
