"""The notebooks as a student has them: in a real JupyterLab, in a real browser.

`pytest` runs one training in it; `pytest -m browser` walks through all notebooks. Where the folder
LAB_SCREENSHOTS is named, every notebook is photographed. Skipped where there is no chromium.
"""

import ast
import os
from pathlib import Path
import re
import shutil

import pytest

from lab_utils.core.params import project_root

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
playwright = pytest.importorskip("playwright.sync_api")

from browser.notebook import OpenNotebook, text_of  # noqa: E402
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
def servers(tmp_path_factory):
    """The address of a JupyterLab started in the project's folder, and of one in ``notebooks``."""
    scratch = tmp_path_factory.mktemp("jupyter")
    lab = copy_of_the_lab(scratch / "lab")
    settings = {"LAB_SET": SMALL, "LAB_RUNS_DIR": str(scratch / "runs")}
    at_root = jupyter_lab(lab, scratch / "at_root", **settings)
    inside = jupyter_lab(lab / "notebooks", scratch / "inside", **settings)
    with at_root as root, inside as notebooks:
        yield {"": root.format("notebooks/{}.ipynb"), "notebooks": notebooks.format("{}.ipynb")}


@pytest.fixture
def opened(browser, servers):
    """A function that opens a notebook; all that were opened are closed at the end of the test."""
    contexts, notebooks = [], []

    def open_notebook(name, theme="light", width=1280, start=""):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}))
        page = contexts[-1].new_page()
        notebooks.append(OpenNotebook(page, servers[start].format(name), theme))
        return notebooks[-1]

    yield open_notebook
    for notebook in notebooks:
        notebook.close()
    for context in contexts:
        context.close()


def photograph(notebook, name):
    if SHOTS:
        notebook.photograph(Path(SHOTS), name)


def solution(notebook, name):
    """The function ``name`` of ``solutions/``, with what it imports: what a student might type."""
    source = (project_root() / "solutions" / f"{notebook}.py").read_text(encoding="utf-8")
    parts = [
        ast.get_source_segment(source, node) for node in ast.parse(source).body
        if isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "name", "") == name
    ]  # fmt: skip
    return "\n".join(parts)


@pytest.mark.browser
def test_a_training_is_seen_to_move_and_stops_and_goes_on(opened):
    """The one that every `pytest` runs: a student trains, presses stop, and goes on."""
    notebook = opened("04_training")
    notebook.type_into(r"^changes = ", 'experiment = None\nname = "stopped"\n'
                       'changes = "train_size=6000 epochs=3 batch_size=32"')  # fmt: skip
    cell = notebook.run_until(r"^history = fit\(", SECONDS)
    progress = cell.locator("progress").first
    progress.wait_for(state="attached", timeout=1000 * SECONDS)
    seen = [cell.locator(".jp-OutputArea").inner_html()]
    bars = [progress.get_attribute("value")]
    playwright.expect(progress).not_to_have_attribute("value", bars[0], timeout=20_000)
    bars.append(progress.get_attribute("value"))
    seen.append(cell.locator(".jp-OutputArea").inner_html())
    assert curve(seen[0]) != curve(seen[1]), "the curve of the losses does not grow"
    if SHOTS:
        notebook.page.screenshot(path=Path(SHOTS) / "training.png")
    notebook.page.locator("button[data-command='notebook:interrupt-kernel']").first.click()
    notebook.wait_until_idle(60)
    said = text_of(notebook.code_cell(r"^history = fit\(")["outputs"])
    assert re.search("[Ss]topped in epoch", said), said[-2000:]
    assert "Traceback" not in said
    notebook.run_cell(cell, SECONDS)
    said = text_of(notebook.code_cell(r"^history = fit\(")["outputs"])
    assert "3 of 3 epochs" in said, said[-2000:]


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
    figures = sum("run.show(" in "".join(cell["source"]) for cell in notebook.code_cells())
    assert notebook.pictures() >= figures > 0


@pytest.mark.browser
@the_whole_walk
def test_an_exercise_filled_in_is_marked_right(opened):
    notebook = opened("01_setup", "dark", 900)
    notebook.run_all(SECONDS)
    name = "absolute_gradient"
    stub = rf"^def {name}\("
    assert text_of(notebook.code_cell(stub)["outputs"]).startswith("open: ")
    cell = notebook.type_into(stub, f"{solution('01_setup', name)}\n\n\ncheck.{name}({name})")
    notebook.run_cell(cell, 60)
    if SHOTS:
        cell.scroll_into_view_if_needed()
        notebook.page.screenshot(path=Path(SHOTS) / "exercise.png")
    assert text_of(notebook.code_cell(stub)["outputs"]).startswith("right: ")


@pytest.mark.browser
@the_whole_walk
@pytest.mark.parametrize(
    ("name", "keys"), [("03_model", "ArrowLeft"), ("09_insight", "ArrowRight")]
)
def test_a_control_that_is_moved_redraws_its_figure(name, keys, opened):
    notebook = opened(name)
    notebook.run_all(SECONDS)
    cell = notebook.cell(r"^interactive\(")
    picture, slider = cell.locator("img"), cell.locator(".noUi-handle").first
    before = picture.get_attribute("src")
    slider.focus()
    for _ in range(4):
        notebook.page.keyboard.press(keys)
    playwright.expect(picture).not_to_have_attribute("src", before, timeout=20_000)
    choice = cell.locator("select").last
    before = picture.get_attribute("src")
    choice.select_option(index=0)
    playwright.expect(picture).not_to_have_attribute("src", before, timeout=20_000)
    notebook.wait_until_idle(20)
    if SHOTS:
        cell.scroll_into_view_if_needed()
        notebook.page.screenshot(path=Path(SHOTS) / f"control_{name}.png")
    assert picture.get_attribute("alt").strip()
    assert notebook.errors() == []
