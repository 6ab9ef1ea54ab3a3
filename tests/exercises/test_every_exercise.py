"""Every exercise of a notebook has a check, a solution that passes it, and a stub that is open."""

import ast
from importlib import import_module
import re
import runpy

import nbformat
import pytest

from lab_utils.core.params import project_root

ROOT = project_root()


def exercises():
    """(notebook, room, name of the check, the source of its cell) of every exercise."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        room = re.search(
            r"^from lab_utils\.exercises import (\w+) as check", "\n".join(cells), re.M
        )
        for source in cells:
            for name in re.findall(r"^check\.(\w+)\(", source, re.M):
                yield pytest.param(path.stem, room[1], name, source, id=f"{path.stem}-{name}")


def answer_in(source, name):
    """What the cell defines under ``name``, without the rest of the notebook."""
    for node in ast.parse(source).body:
        names = [target.id for target in getattr(node, "targets", ())]
        if getattr(node, "name", None) == name or name in names:
            for part in ast.walk(node):
                if isinstance(part, ast.FunctionDef):  # annotations may need the notebook's imports
                    part.returns = None
                    for argument in part.args.args:
                        argument.annotation = None
            namespace = {}
            exec(compile(ast.Module([node], []), name, "exec"), namespace)
            return namespace[name]
    raise AssertionError(f"the cell does not define {name}")


@pytest.mark.parametrize(("notebook", "room", "name", "source"), list(exercises()))
def test_a_solution_is_right_and_an_untouched_stub_is_open(notebook, room, name, source):
    check = getattr(import_module(f"lab_utils.exercises.{room}"), name)
    solution = runpy.run_path(str(ROOT / "solutions" / f"{notebook}.py"))[name]
    assert check.judge(solution).status == "right", check.judge(solution)
    assert check.judge(answer_in(source, name)).status == "open"


def test_notebooks_and_library_do_not_import_solutions():
    sources = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "lab_utils").rglob("*.py")]
    for path in sources:
        assert not re.search(r"(from|import) solutions", path.read_text(encoding="utf-8")), path
