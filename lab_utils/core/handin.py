"""From the last cell of a notebook to the report that a student hands in."""

import os
from pathlib import Path
import subprocess
import sys
from typing import Any
from urllib.parse import quote

from IPython.display import Markdown
import yaml

from lab_utils import LabError
from lab_utils.core.files import write_text
from lab_utils.core.params import project_root, runs_dir
from lab_utils.core.run import Run
from lab_utils.core.show import is_live

ABOUT = "report.yaml"  # what the first page says of this run, beside params.yaml
DISCUSSION = "discussion.md"  # the student's own words
_HEADINGS = """\
# Discussion

<!-- Your own words, in Markdown. A heading with nothing below it is left out of the report. -->

## What did the model learn, and how do you know?

## Which of its mistakes would you have made too?

## What would you try next, and what would you expect?
"""


def hand_in(run: Run, **about: str) -> Any:
    """Write the PDF report of ``run`` and show links to it and to the text for the student's words.

    ``about`` is what its first page says, such as ``student``; ``params.yaml`` lists the names, and
    says what is not given here. In a headless run nothing is written: `lab run` does it afterwards.
    Raises LabError where the report cannot be made.
    """
    if not is_live():
        return Markdown("No report here: `lab run` writes it afterwards, `lab report` at any time.")
    if given := {key: text for key, text in about.items() if text}:
        write_text(run.file(ABOUT), yaml.safe_dump(given, allow_unicode=True, sort_keys=False))
    if not run.file(DISCUSSION).is_file():
        write_text(run.file(DISCUSSION), _HEADINGS)
    done = subprocess.run(
        [sys.executable, "-m", "lab", "report", "--", run.name], capture_output=True, text=True,
        cwd=project_root(), env=os.environ | {"LAB_RUNS_DIR": str(runs_dir())},
    )  # fmt: skip
    if done.returncode:
        raise LabError(done.stderr.strip().removeprefix("lab: ") or "The report was not made.")
    notes = done.stdout.splitlines()[:-1]  # the last line says where the report is
    lines = [
        f"**The report:** {_link(run.file('report.pdf'))}",
        f"**Your own discussion:** {_link(run.file(DISCUSSION))}. Write it there (right click, "
        "Open With, Editor), save, and run this cell again.",
        *notes,
    ]
    return Markdown("\n\n".join(lines))


def _link(path: Path) -> str:
    """A link that JupyterLab opens, seen from ``notebooks/``."""
    try:
        place = os.path.relpath(path, project_root() / "notebooks")
    except ValueError:  # on another drive
        return f"{path.name} in {path.parent}"
    return f"[{path.name}]({quote(Path(place).as_posix())})"
