"""What a notebook shows besides figures: tables and notices, plain in a terminal, HTML in Lab."""

from collections.abc import Mapping, Sequence
from functools import partial
import html
import os
from typing import Any

from tabulate import tabulate


def is_live() -> bool:
    """Whether a person watches in JupyterLab; papermill, nbval and plain Python are not live.

    Jupyter's server names the open document in this variable when it starts a kernel.
    """
    return "JPY_SESSION_NAME" in os.environ


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
            ["-" if row.get(h) is None else format(row[h], formats.get(h, "")) for h in heads]
            for row in rows
        ]
        numeric = [all(isinstance(row.get(h), int | float | None) for row in rows) for h in heads]
        align = ["right" if number else "left" for number in numeric]
        self._tabulate = partial(tabulate, cells, heads, colalign=align, disable_numparse=True)

    def __repr__(self) -> str:
        return self._tabulate()

    def _repr_html_(self) -> str:
        return self._tabulate(tablefmt="html")


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
