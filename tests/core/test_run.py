"""The run folder: whole files or none, steps in order, settings and data that belong together."""

import html.parser
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lab_utils import LabError
from lab_utils.core.drawing import Drawing, new_figure
from lab_utils.core.files import one_training, write_atomic, write_json
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run


@pytest.fixture
def run(runs):
    return Run.create(load_settings("smoke"))


def test_json_holds_no_nan_or_infinity(tmp_path):
    write_json(tmp_path / "a.json", {"x": float("nan"), "y": [np.inf, np.float32(0.5)], "z": 1})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [None, 0.5], "z": 1}


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, 1)

    def no_space(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(LabError, match=r"a\.json: No space left on device"):
        write_atomic(path, no_space)
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signal")
def test_kill_9_during_writes_leaves_a_whole_file(tmp_path):
    path = tmp_path / "a.json"
    code = (
        "from pathlib import Path; from lab_utils.core.files import write_json\n"
        f"path = Path({str(path)!r})\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    write_json(path, [n] * 200_000)\n"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        values = json.loads(path.read_text())
        assert len(values) == 200_000
        assert len(set(values)) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(LabError, match="Permission denied"):
        write_json(tmp_path / "sub" / "a.json", 1)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="file"):
        write_json(tmp_path / "file" / "a.json", 1)


def test_a_run_of_other_settings_is_refused_and_the_difference_named(run):
    epochs = run.settings.epochs
    with pytest.raises(LabError, match=f"epochs={epochs}, not {epochs + 1}"):
        Run.create(load_settings("smoke", epochs=epochs + 1), run.name)


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "", ".hidden", "a\\b", "con", "NUL.txt", "com1", "a.", "a ", "x" * 121]
)
def test_a_run_name_names_a_folder_in_runs_on_every_system(runs, name):
    if name == "":
        assert Run.create(load_settings("smoke"), name).name == "smoke"
    else:
        with pytest.raises(LabError, match="cannot name a run"):
            Run.create(load_settings("smoke"), name)


def test_a_step_is_done_only_after_finish(run):
    run.begin("01_setup")
    assert not run.done("01_setup")
    run.finish()
    assert run.done("01_setup")
    entry = run.manifest["01_setup"]
    assert entry["seed"] == 42
    assert entry["seconds"] >= 0
    assert entry["peak_memory_mb"] > 1
    assert entry["versions"]["torch"]


def test_training_again_voids_what_was_computed_from_the_old_weights(run):
    for step in ("01_setup", "04_training", "05_evaluation", "06_deployment"):
        run.begin(step)
        run.finish()
    run.begin("04_training")  # nothing is left of the training, so that it must be made again
    assert run.done("01_setup")
    assert not run.done("05_evaluation")
    assert not run.done("06_deployment")


def test_evaluating_again_voids_what_was_written_from_the_old_evaluation(run):
    for step in ("04_training", "05_evaluation", "06_deployment", "08_speed", "09_insight"):
        run.begin(step)
        run.finish()
    run.begin("05_evaluation")
    done = [step for step in run.manifest if run.done(step)]
    assert done == ["04_training", "08_speed"]


def trained(run):
    """``run`` with a training that is done, on known data, and the evaluation of it."""
    run.begin("04_training")
    run.use_data("shapes", "aaaa")
    run.file("checkpoints").mkdir()
    run.file("checkpoints/last.pt").write_bytes(b"finished")
    for step in ("04_training", "05_evaluation"):
        if step != run.step:
            run.begin(step)
        run.finish()
    return run


def test_a_training_that_is_done_is_opened_again_without_voiding_anything(run):
    before = trained(run).manifest
    run.begin("04_training")
    run.use_data("shapes", "aaaa")
    run.record(epochs=7)
    assert run.manifest == before
    assert run.finish().text.startswith("04_training is done")
    assert run.manifest == before
    assert run.read_json("training.json") == {}  # nothing was trained, nothing is written
    assert run.file("checkpoints/last.pt").is_file()


def test_a_training_begun_anew_voids_the_old_one_and_what_came_of_it(run):
    trained(run).begin("04_training")
    run.record(epochs=7)
    run.train_anew()
    assert not run.file("checkpoints/last.pt").exists()
    assert not run.done("05_evaluation")
    assert run.manifest["04_training"]["status"] == "running"
    assert run.manifest["04_training"]["data"]["fingerprint"] == "aaaa"
    run.finish()
    assert run.read_json("training.json") == {"epochs": 7}


def test_nothing_is_begun_anew_while_another_process_trains(run):
    before = trained(run).manifest
    run.begin("04_training")
    with one_training(run.path), pytest.raises(LabError, match=r"is being trained by another"):
        run.train_anew()
    assert run.manifest == before
    assert run.file("checkpoints/last.pt").is_file()
    run.train_anew()  # it has ended


def test_steps_of_one_run_must_use_the_same_data(run):
    run.begin("02_data")
    run.use_data("shapes", "aaaa")
    run.begin("04_training")
    with pytest.raises(LabError, match=r"02_data .* other data"):
        run.use_data("cifar10", "bbbb")


def test_damaged_settings_are_named_with_the_mend(run):
    run.file("settings.yaml").write_text("experiment: [")
    with pytest.raises(LabError, match=r"settings\.yaml is damaged"):
        Run.load(run.name)


def test_an_unknown_run_is_named(runs):
    with pytest.raises(LabError, match="'nothing'"):
        Run.load("nothing")


def test_the_title_is_no_setting_that_makes_a_run_another(run):
    assert Run.create(run.settings.model_copy(update={"title": "New"}), run.name).name == run.name


def test_a_step_that_is_run_again_on_purpose_starts_afresh(run):
    last = run.file("checkpoints/last.pt")
    last.parent.mkdir()
    for fresh in (False, True):
        run.begin("04_training")
        last.write_bytes(b"unfinished")
        run.forget(["04_training"], fresh=fresh)
        assert last.exists() is not fresh
    run.begin("04_training")
    last.write_bytes(b"finished")
    run.finish()
    run.forget(["04_training"])
    assert not last.exists()


def test_a_stopped_step_goes_on_with_its_own_data_only(run):
    run.begin("04_training")
    run.use_data("shapes", "aaaa")
    run.begin("04_training")  # killed, and begun again
    with pytest.raises(LabError, match="used other data"):
        run.use_data("cifar10", "bbbb")


def test_finishing_twice_is_harmless_and_counts_earlier_sessions(run):
    run.begin("04_training")
    first = run.finish(earlier_seconds=100)
    assert run.finish().text == first.text
    assert run.manifest["04_training"]["seconds"] >= 100
    Run.load(run.name).forget(["04_training"])
    with pytest.raises(LabError, match="begun anew"):
        run.finish()


@pytest.mark.parametrize("content", ["[]", "{", "\x00"])
def test_a_damaged_manifest_is_named(run, content):
    run.file("manifest.json").write_text(content)
    with pytest.raises(LabError, match=r"manifest\.json"):
        run.done("01_setup")


def test_what_a_step_recorded_is_its_json_file_when_it_ends(run):
    run.begin("03_model")
    run.record(parameters=np.int64(3), layers=[(1, 2)])
    run.record(parameters=4, loss=float("nan"))
    assert not run.file("model.json").exists()
    run.finish()
    assert run.read_json("model.json") == {"parameters": 4, "layers": [[1, 2]], "loss": None}
    run.begin("03_model")
    run.finish()
    assert run.read_json("model.json") == {}  # of this time alone


def test_the_plain_results_of_the_evaluation_are_metrics(run):
    run.begin("04_training")
    run.finish()
    run.begin("05_evaluation")
    run.record(test_accuracy=np.float64(0.5), images=np.int64(7), tta="none", gap=None)
    run.record(per_class=[{"class": "cat"}], confusion=np.eye(2, dtype=int))
    run.finish()
    metrics = {"test_accuracy": 0.5, "images": 7, "tta": "none", "gap": None}
    assert run.read_json("metrics.json") == metrics
    parts = {"per_class": [{"class": "cat"}], "confusion": [[1, 0], [0, 1]]}
    assert run.read_json("evaluation.json") == parts


def test_what_other_steps_record_is_no_metric(run):
    for step in ("04_training", "05_evaluation", "06_deployment", "09_insight"):
        run.begin(step)
        run.record(found=step)
        run.finish()
    assert run.read_json("metrics.json") == {"found": "05_evaluation"}
    for step in ("training", "deployment", "insight"):
        assert run.read_json(f"{step}.json")["found"].endswith(step)


def test_the_three_newest_runs_that_have_a_step_are_named(runs):
    for age, name in enumerate(("e", "d", "c", "b", "a")):
        other = Run.create(load_settings("smoke"), name)
        other.begin("04_training")
        if name != "d":
            other.finish()
        os.utime(other.file("manifest.json"), (10**9 - age, 10**9 - age))
    with pytest.raises(LabError, match=r"to a run that has it: 'e', 'c', 'b'\."):
        Run.create(load_settings("quick"), "new").require("04_training")


def test_a_figure_is_saved_and_shown_with_its_texts(run, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda drawing, **_: shown.append(drawing))
    figure, ax = new_figure(2, 1)
    ax.plot([1, 2])
    drawing = Drawing("loss_curves", figure, 'It falls by 3 < 4 & "more".', 'A "curve" <falls>.')
    run.begin("04_training")
    run.show(drawing)
    entry = {"step": "04_training", "file": "figures/loss_curves.svg"}
    texts = {"caption": drawing.caption, "alt": drawing.alt}
    assert run.read_json("figures.json") == {"loss_curves": entry | texts}
    first = run.file("figures/loss_curves.svg").read_bytes()
    run.show(drawing)
    assert run.file("figures/loss_curves.svg").read_bytes() == first
    assert shown == [drawing, drawing]
    page = html.parser.HTMLParser()
    found = {}
    page.handle_starttag = lambda tag, attributes: found.setdefault(tag, dict(attributes))
    page.feed(drawing._repr_html_())
    assert found["img"]["alt"] == drawing.alt
    assert {"figure", "figcaption"} <= set(found)
    assert found["img"]["src"].startswith("data:image/png;base64,")
