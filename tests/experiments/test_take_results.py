"""Results are committed small, load as the run does, and name no place of one machine."""

import importlib.util

from fabricate import make_tested
import pytest

from lab_utils import LabError
from lab_utils.core.files import write_json
from lab_utils.core.params import project_root
from lab_utils.core.run import Run
from lab_utils.experiments import results
from lab_utils.experiments.results import find


@pytest.fixture
def take_results(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("taken", project_root() / ".ci/take_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for where in (module, results):
        monkeypatch.setattr(where, "results_dir", lambda: tmp_path / "results")
    return module


def test_results_are_taken_small_and_load_as_the_run_does(runs, tmp_path, take_results):
    make_tested(seed=3, lr=1e-3)
    (whole,) = find("quick")
    take_results.main(["quick"])
    folder = tmp_path / "results" / "quick" / whole.run.name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 150e3
    taken = results.load(Run.open(folder))
    assert taken.test_accuracy == whole.test_accuracy
    assert taken.flops == whole.flops
    assert taken.history == whole.history
    assert (taken.predicted == whole.predicted).all()
    assert taken.probabilities is None
    text = (tmp_path / "results" / "README.md").read_text()
    assert "`lab sweep quick --set seed=3 lr=0.001`" in text


def test_probabilities_are_taken_where_they_are_asked_for(runs, tmp_path, take_results):
    make_tested(seed=3)
    (whole,) = find("quick")
    take_results.main(["--probabilities", "quick"])
    taken = results.load(Run.open(tmp_path / "results" / "quick" / whole.run.name))
    assert taken.probabilities == pytest.approx(whole.probabilities, abs=1e-3)
    with pytest.raises(LabError, match="has no probabilities left"):
        take_results.main(["quick"])
        take_results.main(["--probabilities", str(taken.run.path)])


def test_a_result_that_names_a_local_path_is_not_taken(runs, take_results):
    run = make_tested()
    metrics = run.read_json("metrics.json")
    write_json(run.file("metrics.json"), metrics | {"weights": "/home/someone/best.pt"})
    with pytest.raises(LabError, match="/home/someone"):
        take_results.main(["quick"])


def test_images_that_nobody_else_has_are_not_taken(runs, take_results):
    make_tested(data="folder", name="own")
    with pytest.raises(LabError, match="images that nobody else has"):
        take_results.main(["own"])


def test_the_table_of_the_committed_results_is_what_their_files_say(take_results):
    folder = project_root() / "report" / "results"
    runs = [path.parent for path in sorted(folder.glob("*/*/metrics.json"))]
    assert take_results.readme(runs) == (folder / "README.md").read_text(encoding="utf-8")
