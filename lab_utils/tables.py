"""Tables in a notebook: the same rows as aligned text and as HTML."""

from collections.abc import Mapping, Sequence
import html
from typing import Any


class Table:
    """Shows ``rows``, dictionaries with the same keys; the keys head the columns.

    Columns of numbers are aligned right. ``formats`` gives a column's format, such as ``",.1f"``;
    None is shown as a dash. It shows itself as the last expression of a cell.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], **formats: str) -> None:
        self.heads = list(rows[0])
        self.cells = [[_text(row[h], formats.get(h, "")) for h in self.heads] for row in rows]
        self.numeric = [all(isinstance(r[h], int | float | None) for r in rows) for h in self.heads]

    def __repr__(self) -> str:
        columns = zip(self.heads, *self.cells, strict=True)
        widths = [max(len(cell) for cell in column) for column in columns]
        lines = [
            "  ".join(
                cell.rjust(width) if numeric else cell.ljust(width)
                for cell, width, numeric in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in (self.heads, *self.cells)
        ]
        return "\n".join([lines[0], "-" * len(max(lines, key=len)), *lines[1:]])

    def _repr_html_(self) -> str:
        def line(cells: list[str], tag: str) -> str:
            return "<tr>" + "".join(
                f'<{tag} style="text-align:{"right" if numeric else "left"}">'
                f"{html.escape(cell)}</{tag}>"
                for cell, numeric in zip(cells, self.numeric, strict=True)
            ) + "</tr>"  # fmt: skip

        body = "\n".join(line(cells, "td") for cells in self.cells)
        return f"<table>\n{line(self.heads, 'th')}\n{body}\n</table>"


def _text(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)
