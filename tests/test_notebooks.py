"""What every committed notebook promises, read from the files; nbval executes them beside this."""

import ast
import json
from pathlib import Path
import re
from statistics import median

import nbformat
import papermill
import pytest

from lab_utils.core.run import OPTIONAL, STEPS

FOLDER = Path(__file__).parent.parent / "notebooks"
STEP_PATHS = [FOLDER / f"{step}.ipynb" for step in (*STEPS, *OPTIONAL)]
EXPERIMENTS = FOLDER / "07_experiments.ipynb"  # optional: compares runs, and is no step of one
PATHS = sorted([*STEP_PATHS, EXPERIMENTS])
PARAMETERS = ["experiment", "name", "changes"]


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_folder_holds_the_six_notebooks_in_order_and_the_optional_ones():
    assert sorted(path.name for path in FOLDER.glob("*.ipynb")) == [p.name for p in PATHS]


def test_it_is_valid_nbformat_4_5_with_unique_ids(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert "papermill" not in notebook.metadata


def test_it_was_run_in_order_without_an_error(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    kinds = {output.output_type for cell in code_cells(notebook) for output in cell.outputs}
    assert "error" not in kinds


def test_nothing_was_written_to_stderr(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.get("name") != "stderr", output


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_holds_no_local_path_and_is_small(path):
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"(?:/(?:home|root|Users|tmp|work|mnt)/|[A-Z]:\\\\)[\w/.-]*", text)
    assert found == []
    assert len(text.encode()) < 1.5e6


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_one_cell_is_tagged_parameters_and_holds_plain_variables(path):
    cells = nbformat.read(path, as_version=4).cells
    tagged = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    nodes = ast.parse(tagged[0].source).body
    names = ["runs"] if path == EXPERIMENTS else PARAMETERS
    assert [node.targets[0].id for node in nodes] == names
    assert all(isinstance(node.value, ast.Constant) for node in nodes)
    for line in tagged[0].source.splitlines():  # papermill warns of a second =, in a comment too
        assert line.startswith("#") or line.count("=") == 1


def test_it_has_no_magic_shell_or_input(notebook):
    for cell in code_cells(notebook):
        for line in cell.source.splitlines():
            assert not line.lstrip().startswith(("%", "!"))
        calls = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Call)]
        assert not any(getattr(call.func, "id", "") == "input" for call in calls)


def test_a_cell_stays_short(notebook):
    lengths = []
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        lengths.append(len([line for line in lines if not line.lstrip().startswith("#")]))
        assert lengths[-1] <= (25 if "class " in cell.source else 15), cell.source
        assert max(map(len, lines)) <= 88, cell.source
    assert median(lengths) <= 6


def test_at_most_two_code_cells_stand_in_a_row(notebook):
    kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in notebook.cells)
    assert "ccc" not in kinds


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_checks_itself_and_begins_and_ends_a_step(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    source = "\n".join(cell.source for cell in cells)
    steps = 0 if path == EXPERIMENTS else 1
    assert re.search(r"^ *assert ", source, re.MULTILINE)
    assert source.count("open_run(") == source.count("run.finish(") == steps


@pytest.mark.parametrize("path", STEP_PATHS[1:], ids=lambda path: path.stem)
def test_committed_outputs_are_of_real_cifar10(path):
    outputs = [c.get("outputs", []) for c in nbformat.read(path, as_version=4).cells]
    text = json.dumps(outputs)
    assert "CIFAR-10, 45,000 training and 5,000 validation images" in text
    assert "does NOT use CIFAR-10" not in text


def test_the_optional_notebook_says_what_to_do_where_there_is_nothing_to_compare(tmp_path, runs):
    copy = tmp_path / "07.ipynb"
    papermill.execute_notebook(
        EXPERIMENTS, copy, {"runs": str(tmp_path)}, cwd=FOLDER, progress_bar=False
    )
    cells = code_cells(nbformat.read(copy, as_version=4))
    text = json.dumps([cell.outputs for cell in cells])
    assert "No finished runs to show yet" in text
    assert "lab sweep exp1_baseline exp2_low_lr exp3_big_batch --seeds 3" in text
    assert not any(output.get("name") == "stderr" for cell in cells for output in cell.outputs)
