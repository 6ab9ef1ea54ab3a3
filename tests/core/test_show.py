"""A figure with controls: what a person in JupyterLab can move, and what all others see."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from lab_utils.core.drawing import Drawing, new_figure
from lab_utils.core.params import load_settings
from lab_utils.core.run import Run
from lab_utils.core.show import Table, interactive

CHOICES = {"noise": (0.0, 1.0, 0.1, 0.3), "kind_of_line": (["dotted", "solid"], "solid")}


def draw(noise, kind_of_line):
    figure, ax = new_figure(2, 1)
    ax.plot([0, noise])
    return Drawing("line", figure, f"{kind_of_line}, {noise:.1f}", f"A {kind_of_line} line.")


@pytest.fixture
def run(runs):
    run = Run.create(load_settings("smoke"))
    run.begin("03_model")
    return run


@pytest.fixture
def page(monkeypatch):
    """What is ``shown``, and the (name, drawing) that took the place of one that is."""
    page = SimpleNamespace(shown=[], updates=[])
    monkeypatch.setattr("IPython.display.display", lambda thing, **_: page.shown.append(thing))
    monkeypatch.setattr(
        "IPython.display.update_display",
        lambda thing, display_id: page.updates.append((display_id, thing)),
    )
    return page


def files(run):
    return {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}


def test_a_control_that_is_moved_redraws_the_figure_and_writes_nothing(run, page, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "03_model.ipynb")
    interactive(run, draw, **CHOICES)
    box, drawing = page.shown
    slider, menu = box.children
    assert drawing.caption == "solid, 0.3"
    assert (slider.description, slider.min, slider.max, slider.step) == ("noise", 0.0, 1.0, 0.1)
    assert (menu.description, menu.options) == ("kind of line", ("dotted", "solid"))
    kept = files(run)
    assert run.read_json("figures.json")["line"]["caption"] == "solid, 0.3"
    slider.value = 0.8
    menu.value = "dotted"
    redrawn = [("line", "solid, 0.8"), ("line", "dotted, 0.8")]
    assert [(name, drawing.caption) for name, drawing in page.updates] == redrawn
    assert files(run) == kept
    assert len(page.shown) == 2  # nothing is shown a second time below


def test_the_shown_figure_is_the_one_that_is_redrawn(run, monkeypatch):
    named = []
    monkeypatch.setattr("IPython.display.display", lambda _, display_id: named.append(display_id))
    run.show(draw(0.5, "solid"))
    assert named == ["line"]


def test_where_nobody_watches_it_is_an_ordinary_figure(run, page, monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    interactive(run, draw, **CHOICES)
    (drawing,) = page.shown
    assert drawing.caption == "solid, 0.3"
    assert run.read_json("figures.json")["line"]["alt"] == "A solid line."
    assert run.file("figures/line.svg").is_file()


def test_a_program_that_runs_a_notebook_loads_no_widgets(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    code = (
        "import sys, json\n"
        "from types import SimpleNamespace\n"
        "from lab_utils.core.show import interactive\n"
        "shown = []\n"
        "interactive(SimpleNamespace(show=shown.append), lambda x: x, x=(0.0, 1.0, 0.5, 0.5))\n"
        "print(json.dumps([shown, 'ipywidgets' in sys.modules, 'IPython' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert json.loads(done.stdout or "null") == [[0.5], False, False], done.stderr


def test_what_would_steer_a_terminal_is_shown_as_text():
    shown = repr(Table([{"name": "\x1b[2Jgood\nrow two", "n": 1}]))
    assert "\x1b" not in shown
    assert r"\x1b[2Jgood\nrow two" in shown


def test_a_tables_heads_are_marked_as_heads_of_columns():
    page = Table([{"a": 1, "b": "x"}])._repr_html_()
    assert page.count('<th scope="col"') == 2
    assert "<thead>" in page
