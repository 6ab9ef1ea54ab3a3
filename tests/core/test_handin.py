"""The last cell of notebook 06: name, own words, report."""

from fabricate import begin, make_run, words
import pytest
import yaml

from lab_utils import LabError
from lab_utils.core.handin import hand_in
from lab_utils.core.run import Run


@pytest.fixture
def live(monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "06_deployment.ipynb")


def test_it_writes_the_report_with_the_name_and_shows_links(runs, live):
    run = Run.open(make_run(runs / "mine").path)
    shown = hand_in(run, student="Ana Müller #42", course="").data
    assert yaml.safe_load(run.file("report.yaml").read_text("utf-8")) == {
        "student": "Ana Müller #42"
    }
    assert "[report.pdf](" in shown
    assert "mine/discussion.md)" in shown
    assert "Student name" not in shown
    assert "Ana Müller #42" in words(run.file("report.pdf"), 1, 1)


def test_own_words_are_kept_when_it_is_run_again(runs, live):
    run = Run.open(make_run(runs / "mine").path)
    assert "still says 'Student name'" in hand_in(run, student="").data
    run.file("discussion.md").write_text("It learned.", encoding="utf-8")
    hand_in(run, student="")
    assert "It learned." in words(run.file("report.pdf"))


def test_a_headless_run_writes_nothing(runs, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    run = Run.open(make_run(runs / "mine").path)
    before = sorted(path.name for path in run.path.iterdir())
    hand_in(run, student="Ana")
    assert sorted(path.name for path in run.path.iterdir()) == before


def test_what_goes_wrong_is_said_in_a_sentence(runs, live):
    with pytest.raises(LabError, match="has no finished step"):
        hand_in(begin("01_setup", "smoke"), student="Ana")
