"""A notebook that is open in JupyterLab, as a page that Playwright drives."""

import html
from pathlib import Path
import re
import time
from typing import Any

from playwright.sync_api import Locator, Page

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
STOP = ".jp-NotebookPanel-toolbar [data-command='notebook:interrupt-kernel']"  # the button
_WIDGET = "window.jupyterapp.shell.currentWidget"
_UNTOLD = "No description has been provided for this image"  # what JupyterLab says of a bare PNG
_WITHOUT_TEXT = f"""() => [...document.querySelectorAll('.jp-OutputArea img')]
    .filter(image => !image.alt.trim() || image.alt == '{_UNTOLD}' || !image.naturalWidth)
    .map(image => image.outerHTML.slice(0, 200))"""
# A wide table scrolls in its place; text must not need that.
_TOO_WIDE = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].flatMap(
    (cell, n) => [...cell.querySelectorAll('.jp-OutputArea-output, .jp-OutputArea-output pre')]
        .filter(o => o.scrollWidth > o.clientWidth + 1 && !o.querySelector('table'))
        .map(o => `${n + 1}: ${o.scrollWidth} in ${o.clientWidth}: ${o.innerText.slice(0, 80)}`))"""

# JupyterLab breaks a line of text that is too long anywhere, also inside a word or a number.
_BROKEN = """() => [...document.querySelectorAll('.jp-OutputArea-output > pre')].flatMap(
    pre => {
        const pen = document.createElement('canvas').getContext('2d');
        pen.font = getComputedStyle(pre).font;
        return pre.innerText.split('\\n').filter(l => pen.measureText(l).width > pre.clientWidth);
    })"""


class OpenNotebook:
    """The notebook at ``address``, opened on ``page`` in ``theme``, its kernel ready."""

    def __init__(self, page: Page, address: str, theme: str = "light") -> None:
        self.page = page
        page.goto(address)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.evaluate(
            "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
            THEMES[theme],
        )
        page.wait_for_selector(f"body[data-jp-theme-name='{THEMES[theme]}']", state="attached")
        self.wait_until_idle(60)

    def _ask(self, expression: str, argument: Any = None) -> Any:
        return self.page.evaluate(f"argument => {{ const w = {_WIDGET}; {expression} }}", argument)

    def command(self, name: str) -> None:
        """Run a command of JupyterLab, and do not wait for its end."""
        self._ask("jupyterapp.commands.execute(argument);", name)

    def cells(self) -> list[dict[str, Any]]:
        """Of each cell its source, number and outputs as nbformat has them."""
        return self._ask("return w.content.model.sharedModel.toJSON().cells;")

    def code_cells(self) -> list[dict[str, Any]]:
        """The cells that can be run."""
        return [cell for cell in self.cells() if cell["cell_type"] == "code"]

    def wait_until_idle(self, seconds: float) -> None:
        """Until the kernel has nothing to do; AssertionError after so many ``seconds``."""
        busy = "return w.sessionContext.session?.kernel?.status;"
        end = time.monotonic() + seconds
        while (status := self._ask(busy)) != "idle":
            assert time.monotonic() < end, f"the kernel is {status} after {seconds} s"
            assert status not in ("dead", "autorestarting"), f"the kernel is {status}"
            self.page.wait_for_timeout(200)

    def run_all(self, seconds: float) -> None:
        """Run All, and wait until every cell has its number, or one fails."""
        self.clear()
        self.command("notebook:run-all-cells")
        self._wait_for_numbers(len(self.numbers()), seconds)
        self.wait_until_idle(30)

    def _wait_for_numbers(self, first: int, seconds: float) -> None:
        """Until the ``first`` code cells have run, or one failed; AssertionError if too late."""
        end = time.monotonic() + seconds
        while None in self.numbers()[:first] and not self.outputs("error"):
            assert time.monotonic() < end, f"still at {self.numbers()} after {seconds} s"
            self.page.wait_for_timeout(300)

    def clear(self) -> None:
        """Take the outputs and numbers of the committed run away."""
        self._ask("w.content.widgets.forEach(c => c.model.clearExecution?.());")

    def run_until(self, words: str, seconds: float) -> Locator:
        """Run all cells above the one that matches ``words``, then begin that one; it."""
        self.clear()
        place = self.place(words)
        self._ask("w.content.activeCellIndex = argument;", place)
        self.command("notebook:run-all-above")
        above = sum(cell["cell_type"] == "code" for cell in self.cells()[:place])
        self._wait_for_numbers(above, seconds)
        assert not self.errors(), self.errors()
        cell = self.cell(words)
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        return cell

    def close(self) -> None:
        """End the kernel; what was typed is not saved."""
        self._ask("return w.sessionContext.shutdown();")

    def numbers(self) -> list[int | None]:
        """The execution count of each code cell."""
        return [cell["execution_count"] for cell in self.code_cells()]

    def outputs(self, kind: str) -> list[dict[str, Any]]:
        """All outputs of a type, such as ``error``."""
        found = (output for cell in self.code_cells() for output in cell["outputs"])
        return [output for output in found if output["output_type"] == kind]

    def errors(self) -> list[str]:
        """What went wrong: names of exceptions, and all that was written to stderr."""
        raised = [f"{error['ename']}: {error['evalue']}" for error in self.outputs("error")]
        told = [o["text"] for o in self.outputs("stream") if o["name"] == "stderr"]
        return raised + ["".join(text) for text in told]

    def said(self, words: str) -> str:
        """The text of the outputs of the one code cell whose source matches ``words``."""
        return text_of(self.cells()[self.place(words)]["outputs"]).strip()

    def place(self, words: str) -> int:
        """The number, from 0, of the one code cell whose source matches ``words``."""
        cells = self.cells()
        sources = ["".join(c["source"]) if c["cell_type"] == "code" else "" for c in cells]
        found = [n for n, source in enumerate(sources) if re.search(words, source, re.MULTILINE)]
        assert len(found) == 1, f"{len(found)} cells match {words!r}"
        return found[0]

    def cell(self, words: str) -> Locator:
        """That cell on the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(self.place(words))

    def cells_with_controls(self) -> list[Locator]:
        """The cells that show widgets."""
        widgets = self.page.locator(".jp-OutputArea .widget-vbox")
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(has=widgets).all()

    def type_into(self, words: str, source: str) -> Locator:
        """Replace what the cell that matches ``words`` holds, as a person does: by the keyboard."""
        cell = self.cell(words)
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(source)
        return cell

    def run_cell(self, cell: Locator, seconds: float) -> None:
        """Run one cell by the keyboard and wait for its end."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_timeout(300)
        self.wait_until_idle(seconds)

    def pictures_without_text(self) -> list[str]:
        """The pictures in outputs that have no alternative text, or cannot be drawn."""
        return self.page.evaluate(_WITHOUT_TEXT)

    def pictures(self) -> int:
        """How many pictures the outputs hold."""
        return self.page.locator(".jp-OutputArea img").count()

    def too_wide(self) -> list[str]:
        """Texts that overflow their place: the cell, the pixels, how the text begins."""
        return self.page.evaluate(_TOO_WIDE)

    def broken_lines(self) -> list[str]:
        """Lines of plain text that are longer than their place is wide."""
        return self.page.evaluate(_BROKEN)

    def photograph(self, folder: Path, name: str, height: int = 3000) -> None:
        """The whole notebook as pictures of ``height`` pixels, ``name``_1.png and so on."""
        folder.mkdir(parents=True, exist_ok=True)
        size = self.page.viewport_size
        self.page.set_viewport_size({"width": size["width"], "height": height})
        self.page.wait_for_timeout(500)
        scroll = self.page.locator(".jp-WindowedPanel-outer").first
        for number in range(20):
            scroll.evaluate("(e, top) => { e.scrollTop = top; }", number * (height - 200))
            self.page.wait_for_timeout(400)
            self.page.screenshot(path=folder / f"{name}_{number + 1}.png")
            rest = scroll.evaluate("e => e.scrollHeight - e.scrollTop - e.clientHeight")
            if rest < 2:
                break
        self.page.set_viewport_size(size)


def text_of(outputs: list[dict[str, Any]]) -> str:
    """The text of a cell's outputs: streams, errors and what is displayed, without HTML's marks."""
    texts = []
    for output in outputs:
        data = output.get("data", {})
        found = output.get("text") or data.get("text/html") or data.get("text/plain")
        found = found or "\n".join(output.get("traceback", ()))
        texts.append("".join(found))
    return html.unescape(re.sub(r"<[^>]*>", " ", "\n".join(texts)))
