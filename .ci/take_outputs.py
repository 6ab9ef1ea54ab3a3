"""Copy the outputs of a run's executed notebooks into notebooks/: `take_outputs.py RUN`.

What papermill added (its metadata, the cell with injected parameters) is left behind, so that the
committed files differ from the sources in outputs alone.
"""

import sys

from lab_utils.run import STEPS, Run
from lab_utils.settings import project_root
import nbformat


def main(name: str) -> None:
    """Take the outputs of run ``name`` over, for the cells that are the same in both files."""
    run = Run.load(name)
    for step in STEPS:
        run.require(step)
        path = project_root() / "notebooks" / f"{step}.ipynb"
        source = nbformat.read(path, as_version=4)
        executed = nbformat.read(run.file(f"notebooks/{step}.ipynb"), as_version=4)
        cells = {cell.id: cell for cell in executed.cells if cell.cell_type == "code"}
        count = 0
        for cell in source.cells:
            if cell.cell_type != "code":
                continue
            done, count = cells[cell.id], count + 1
            if done.source != cell.source:
                raise SystemExit(f"{step}: cell {cell.id} was changed after the run; run it again.")
            cell.outputs, cell.execution_count = done.outputs, count
            for output in cell.outputs:
                if "execution_count" in output:
                    output["execution_count"] = count
        nbformat.write(source, path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1])
