"""Copy the outputs of executed notebooks into notebooks/: `take_outputs.py RUN` or `… FILE.ipynb`.

RUN stands for the executed copies in its folder, FILE.ipynb for one that is in no run.

What papermill added (its metadata, the cell with injected parameters) is left behind, so that the
committed files differ from the sources in outputs alone.
"""

from pathlib import Path
import sys

import nbformat

from lab_utils.core.params import project_root
from lab_utils.core.run import OPTIONAL, STEPS, Run


def main(word: str) -> None:
    """Take over what run ``word``, or the executed notebook ``word``, has."""
    if word.endswith(".ipynb"):
        take(Path(word))
        return
    run = Run.load(word)
    for step in (*STEPS, *OPTIONAL):
        run.require(step)
        take(run.file(f"notebooks/{step}.ipynb"))


def take(copy: Path) -> None:
    """Take the outputs of ``copy`` over into the notebook of that name, with the same cells."""
    path = project_root() / "notebooks" / copy.name
    source = nbformat.read(path, as_version=4)
    executed = nbformat.read(copy, as_version=4)
    cells = {cell.id: cell for cell in executed.cells if cell.cell_type == "code"}
    count = 0
    for cell in source.cells:
        if cell.cell_type != "code":
            continue
        done, count = cells[cell.id], count + 1
        if done.source != cell.source:
            raise SystemExit(f"{path.stem}: cell {cell.id} was changed since; run it again.")
        cell.outputs, cell.execution_count = done.outputs, count
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
    nbformat.write(source, path)
    print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
