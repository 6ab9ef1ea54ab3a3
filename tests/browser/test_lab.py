"""The notebooks as a student has them: in a real JupyterLab, in a real browser.

`pytest` runs one training in it; `pytest -m browser` walks through all notebooks. Where the folder
LAB_SCREENSHOTS is named, every notebook is photographed. Skipped where there is no chromium.
"""

import ast
from contextlib import ExitStack
from functools import cache
import os
from pathlib import Path
import re
import shutil

import pytest

from lab_utils.core.params import project_root

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
playwright = pytest.importorskip("playwright.sync_api")

from browser.notebook import STOP, OpenNotebook  # noqa: E402
from browser.server import copy_of_the_lab, jupyter_lab  # noqa: E402

the_whole_walk = pytest.mark.skipif(
    "not config.getoption('markexpr')", reason="takes minutes: pytest -m browser"
)
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
SMALL = "data=shapes train_size=1000 test_size=500 epochs=2"
SECONDS = 240  # of one notebook, at the most
SHOTS = os.environ.get("LAB_SCREENSHOTS")
CONTROLS = {"03_model": 1, "05_evaluation": 2, "09_insight": 1}  # cells of a notebook
# Each notebook once; each theme, width and folder to start from with several of them.
WALK = [
    ("01_setup", "light", 1280, ""), ("02_data", "dark", 900, "notebooks"),
    ("03_model", "dark", 1280, ""), ("04_training", "light", 900, "notebooks"),
    ("05_evaluation", "dark", 1280, "notebooks"), ("06_deployment", "light", 900, ""),
    ("07_experiments", "dark", 900, ""), ("08_speed", "light", 1280, "notebooks"),
    ("09_insight", "dark", 1280, "notebooks"),
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The address of a notebook in a JupyterLab started in the project, or in a folder of it."""
    scratch = tmp_path_factory.mktemp("jupyter")
    lab = copy_of_the_lab(scratch / "lab")
    settings = {"PYTHONPATH": str(lab), "LAB_SET": SMALL, "LAB_RUNS_DIR": str(scratch / "runs")}
    with ExitStack() as running:

        @cache
        def server(start):
            own = scratch / f"server_{start}"
            return running.enter_context(jupyter_lab(lab / start, own, **settings))

        yield lambda name, start: server(start).format(
            f"{name}.ipynb" if start else f"notebooks/{name}.ipynb"
        )


@pytest.fixture
def opened(browser, address):
    """A function that opens a notebook; all that were opened are closed at the end of the test."""
    contexts, notebooks = [], []

    def open_notebook(name, theme="light", width=1280, start=""):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        page = contexts[-1].new_page()
        notebooks.append(OpenNotebook(page, address(name, start), theme))
        return notebooks[-1]

    yield open_notebook
    for notebook in notebooks:
        notebook.close()
    for context in contexts:
        context.close()


def photograph(notebook, name, cell=None):
    """The whole notebook, or what the window shows around ``cell``."""
    if SHOTS and cell:
        cell.scroll_into_view_if_needed()
        notebook.page.screenshot(path=Path(SHOTS) / f"{name}.png")
    elif SHOTS:
        notebook.photograph(Path(SHOTS), name)


def solution(notebook, name):
    """The function ``name`` of ``solutions/``, with what it imports: what a student might type."""
    source = (project_root() / "solutions" / f"{notebook}.py").read_text(encoding="utf-8")
    parts = [
        ast.get_source_segment(source, node) for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "name", "") == name
    ]  # fmt: skip
    return "\n".join(parts)


TRAINS = r"^history = fit\("  # in the cell that trains


@pytest.mark.browser
def test_a_training_is_seen_to_move_and_stops_and_goes_on(opened):
    """The one that every `pytest` runs: a student trains, presses stop, and goes on."""
    notebook = opened("04_training")
    changes = "train_size=3000 epochs=6 batch_size=32"  # some are left when stop is pressed
    notebook.type_into("^changes = ", f'experiment = None\nname = "stopped"\nchanges = "{changes}"')
    cell = notebook.run_until(TRAINS, SECONDS)
    bar, shown = cell.locator("progress").first, cell.locator(".jp-OutputArea").first
    bar.wait_for(state="attached", timeout=1000 * SECONDS)
    value, curves = bar.get_attribute("value"), curve(shown.inner_html())
    playwright.expect(bar).not_to_have_attribute("value", value, timeout=20_000)
    assert curve(shown.inner_html()) != curves, "the curve of the losses does not grow"
    playwright.expect(shown).to_contain_text("Epoch 2 of 6", timeout=1000 * SECONDS)
    photograph(notebook, "training", cell)
    notebook.page.locator(STOP).first.click()
    notebook.wait_until_idle(60)
    said = notebook.said(TRAINS)
    assert re.search(r"[Ss]topped in epoch [2-6] of 6; epoch.* kept", said), said[-2000:]
    assert "Traceback" not in said
    notebook.run_cell(cell, SECONDS)
    assert "6 of 6 epochs" in notebook.said(TRAINS), notebook.said(TRAINS)[-2000:]
    assert not notebook.outputs("error")


def curve(html):
    """What draws the curves in a training's display."""
    return re.findall(r"<(?:polyline|path|img)\b[^>]*>", html)


@pytest.mark.browser
@the_whole_walk
@pytest.mark.parametrize(("name", "theme", "width", "start"), WALK, ids=[row[0] for row in WALK])
def test_every_notebook_runs_from_top_to_bottom(name, theme, width, start, opened):
    notebook = opened(name, theme, width, start)
    notebook.run_all(SECONDS)
    photograph(notebook, f"{name}_{theme}_{width}")
    assert notebook.errors() == []
    assert None not in notebook.numbers()
    assert notebook.pictures_without_text() == []
    assert notebook.too_wide() == []
    assert width < 1280 or notebook.broken_lines() == []
    shown = r"^ *(run\.show|interactive)\("
    figures = sum(
        len(re.findall(shown, "".join(cell["source"]), re.MULTILINE))
        for cell in notebook.code_cells()
    )
    assert notebook.pictures() >= max(1, figures)
    if name == "01_setup":
        an_exercise_filled_in_is_marked_right(notebook)
    controlled = notebook.cells_with_controls()
    assert len(controlled) >= CONTROLS.get(name, 0)
    for number, cell in enumerate(controlled):
        a_control_that_is_moved_redraws_its_figure(notebook, cell)
        photograph(notebook, f"control_{name}_{number}", cell)


def an_exercise_filled_in_is_marked_right(notebook):
    name = "absolute_gradient"
    stub = rf"^def {name}\("
    assert notebook.said(stub).startswith("open: ")
    cell = notebook.type_into(stub, f"{solution('01_setup', name)}\n\n\ncheck.{name}({name})")
    notebook.run_cell(cell, 60)
    photograph(notebook, "exercise", cell)
    assert notebook.said(stub).startswith("right: ")


def a_control_that_is_moved_redraws_its_figure(notebook, cell):
    picture, sliders, lists = (cell.locator(kind) for kind in ("img", ".noUi-handle", "select"))
    before = picture.get_attribute("src")
    if sliders.count():
        low, now = (sliders.first.get_attribute(f"aria-value{end}") for end in ("min", "now"))
        sliders.first.focus()
        for _ in range(4):
            notebook.page.keyboard.press("ArrowRight" if low == now else "ArrowLeft")
    else:
        lists.first.select_option(index=int(lists.first.evaluate("e => e.selectedIndex == 0")))
    playwright.expect(picture).not_to_have_attribute("src", before, timeout=20_000)
    notebook.wait_until_idle(20)
    assert picture.get_attribute("alt").strip()
    assert notebook.errors() == []
