"""What a notebook shows besides figures: tables and notices, and controls that redraw a figure."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
import html
import os
import re
from typing import Any

from tabulate import tabulate


def is_live() -> bool:
    """Whether a person watches in JupyterLab; papermill, nbval and plain Python are not live.

    Jupyter's server names the open document in this variable when it starts a kernel.
    """
    return "JPY_SESSION_NAME" in os.environ


def printable(text: str) -> str:
    """With ``\\n`` for a line break, which would split a row of a table, and the like."""
    spaces = "\u00a0\u3000"  # the only ones that are not printable and do no harm
    return "".join(c if c.isprintable() or c in spaces else ascii(c)[1:-1] for c in text)


def _mapping(row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    return row._asdict() if isinstance(row, tuple) else vars(row)


class Table:
    """Shows ``rows`` of the same kind, as the last expression of a cell.

    Rows are dictionaries, named tuples or dataclasses; their keys or fields head the columns.
    ``formats`` gives a column's format, such as ``",.1f"``; None, or nothing, is shown as a dash.
    """

    def __init__(self, rows: Sequence[Any], **formats: str) -> None:
        rows = [_mapping(row) for row in rows]
        heads = list(dict.fromkeys(head for row in rows for head in row))
        cells = [
            [
                "-" if row.get(h) is None else printable(format(row[h], formats.get(h, "")))
                for h in heads
            ]
            for row in rows
        ]
        numeric = [all(isinstance(row.get(h), int | float | None) for row in rows) for h in heads]
        align = ["right" if number else "left" for number in numeric]
        self._tabulate = partial(tabulate, cells, heads, colalign=align, disable_numparse=True)

    def __repr__(self) -> str:
        return self._tabulate()

    def _repr_html_(self) -> str:
        return re.sub("<th(?=[ >])", '<th scope="col"', self._tabulate(tablefmt="html"))


class Notice:
    """A short text that is plain in a terminal and a box in a notebook; red when ``loud``."""

    def __init__(self, text: str, loud: str = "") -> None:
        self.text, self.loud = text, loud

    def __repr__(self) -> str:
        return f"*** {self.loud} ***\n{self.text}" if self.loud else self.text

    def _repr_html_(self) -> str:
        def box(text: str, paint: str, back: str, ink: str) -> str:
            style = f"border-left:6px solid {paint};background:{back};color:{ink}"
            return f'<div style="padding:.6em 1em;margin:.3em 0;{style}">{html.escape(text)}</div>'

        warning = box(self.loud, "#b3261e", "#fbe9e7", "#5f1410") if self.loud else ""
        return warning + box(self.text, "#2a6f97", "#eef5f9", "#12303f")


def interactive(run: Any, draw: Callable[..., Any], **choices: tuple) -> None:
    """Show ``draw(**values)``, a ``Drawing``, and in JupyterLab a control for each of its values.

    A choice is (low, high, step, default), floats for a slider, or (options, default) for a list.
    ``run``, a ``Run``, keeps the drawing of the defaults, and that is all there is where nobody
    watches; a control that is moved redraws the figure in its place and writes nothing to the run.
    """
    drawing = draw(**{name: choice[-1] for name, choice in choices.items()})
    if not is_live():
        run.show(drawing)
        return
    # A program that runs the notebook needs neither these nor the seconds that they take.
    from IPython.display import display, update_display
    from ipywidgets import VBox

    controls = {name: _control(name, *choice) for name, choice in choices.items()}

    def redraw(_: Mapping[str, Any]) -> None:
        values = {name: control.value for name, control in controls.items()}
        update_display(draw(**values), display_id=drawing.name)

    for control in controls.values():
        control.observe(redraw, names="value")
    display(VBox(list(controls.values())))
    run.show(drawing)


def _control(name: str, *choice: Any) -> Any:
    """The ipywidget for one of the choices of ``interactive``."""
    import ipywidgets

    look = {"description": name.replace("_", " "), "style": {"description_width": "initial"}}
    if len(choice) == 2:
        options, default = choice
        return ipywidgets.Dropdown(options=options, value=default, **look)
    low, high, step, default = choice
    return ipywidgets.FloatSlider(default, min=low, max=high, step=step, **look)
