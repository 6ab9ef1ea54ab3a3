"""What a student adds to the report of a run: the names on its first page, and own words.

The words are Markdown, taken apart into plain data which Typst shows as text. Nothing in them is
evaluated: what looks like Typst or like a picture stays the text that it is.
"""

from typing import Any

import mistune

from lab_utils import LabError
from lab_utils.core.files import parse_yaml
from lab_utils.core.handin import ABOUT, DISCUSSION
from lab_utils.core.params import load_params
from lab_utils.core.run import Run

PLACEHOLDER = "Student name"  # what params.yaml comes with
_LEFT_OUT = {"blank_line", "thematic_break", "block_html", "inline_html"}  # comments among them


def about(run: Run) -> dict[str, str]:
    """What the first page says: as the run has it, else params.yaml. LabError if damaged."""
    path, own = run.file(ABOUT), {}
    usual = {"title": "Lab report"} | load_params().report
    try:
        if path.is_file() and not path.is_symlink():
            own = parse_yaml(path.read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in (usual | own).items() if _is_short(value)}
    except (TypeError, ValueError):  # a number of too many digits for a text, for one
        raise LabError(f"{path} is damaged; delete it and run the last cell of 06 again.") from None


def _is_short(value: Any) -> bool:
    # Lists in lists, by YAML's aliases, would make a text of any length.
    return bool(value) and not isinstance(value, dict | list | set | tuple)


def reminders(run: Run) -> list[str]:
    """Sentences about what is still missing for a report to be handed in."""
    if about(run).get("student") != PLACEHOLDER:
        return []
    return [
        f"The first page still says {PLACEHOLDER!r}; give your name in the last cell of notebook "
        "06, or in params.yaml."
    ]


def discussion(run: Run) -> list[dict[str, Any]]:
    """The parts of the run's discussion.md, without empty sections; none where there is no file.

    Raises LabError where the file is not text in UTF-8.
    """
    path = run.file(DISCUSSION)
    if path.is_symlink() or not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise LabError(f"{path} is not text in UTF-8; save it as such.") from None
    tree = {"type": "all", "children": mistune.create_markdown(renderer="ast")(text)}
    return _levels(_with_text(_plain(tree)["children"]))


def _plain(node: dict[str, Any], inside: bool = False) -> dict[str, Any]:
    """Of mistune's node what the report shows: its type, text or children, and how it is listed.

    A heading ``inside`` a list or a quotation is a paragraph: it heads nothing of the report.
    """
    attributes, kind = node.get("attrs", {}), node["type"]
    kept = {"type": "paragraph" if inside and kind == "heading" else kind}
    kept |= {"raw": node.get("raw", "")}
    kept |= {key: attributes[key] for key in ("level", "ordered", "url") if key in attributes}
    inner = kind in ("list_item", "block_quote")
    children = [_plain(child, inner) for child in node.get("children", [])]
    return kept | {"children": [c for c in children if c["type"] not in _LEFT_OUT]}


def _with_text(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without headings of no words, or with no text before the next one of their level or above."""
    kept: list[dict[str, Any]] = []
    for node in reversed(nodes):
        heading = node["type"] == "heading"
        below = kept[-1] if kept else None
        empty = below is None or (
            below["type"] == "heading" and below["level"] <= node.get("level", 0)
        )
        if not (heading and (empty or not _words(node))):
            kept.append(node)
    return kept[::-1]


def _words(node: dict[str, Any]) -> bool:
    return bool(node["raw"].strip()) or any(map(_words, node["children"]))


def _levels(nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Headings below the report's own, none skipping a level, as PDF/UA asks; the title goes."""
    if nodes and nodes[0].get("level") == 1:
        nodes = nodes[1:]
    last = 1
    for node in nodes:
        if node["type"] == "heading":
            last = node["level"] = min(max(node["level"], 2), last + 1)
    return nodes
