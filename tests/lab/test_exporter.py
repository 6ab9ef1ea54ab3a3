"""JupyterLab's menu entry for the report."""

from fabricate import make_run
from nbconvert.exporters import get_export_names, get_exporter
import nbformat
import pytest

from lab_utils import LabError

NOTEBOOK = nbformat.v4.new_notebook()


@pytest.fixture
def exporter():
    return get_exporter("lab_report")()


def test_jupyter_offers_it_by_name(exporter):
    assert "lab_report" in get_export_names()
    assert exporter.export_from_notebook == "Lab report (PDF)"


def test_it_makes_the_report_of_the_run_opened_last(runs, monkeypatch, exporter):
    monkeypatch.delenv("LAB_RUN", raising=False)
    make_run(runs / "mine")
    (runs / ".current").write_text("mine")
    pdf, resources = exporter.from_notebook_node(NOTEBOOK)
    assert pdf == (runs / "mine/report.pdf").read_bytes()
    assert resources["output_extension"] == ".pdf"


def test_without_a_run_it_says_what_to_do(runs, monkeypatch, exporter):
    monkeypatch.delenv("LAB_RUN", raising=False)
    with pytest.raises(LabError, match="run the first cells of a notebook"):
        exporter.from_notebook_node(NOTEBOOK)
