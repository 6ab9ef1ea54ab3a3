"""The house: rooms by notebook, who may enter whom, and sizes that keep it thin."""

import ast
from itertools import pairwise
from pathlib import Path
import re
import subprocess
import sys

import nbformat
import pytest

from lab_utils.core.params import project_root

ROOT = project_root()
# A room imports core and rooms before it in this list.
ROOMS = (
    "core", "setup", "data", "model", "training", "evaluation", "deployment", "experiments",
    "speed", "insight", "exercises",
)  # fmt: skip
MODULES = sorted(path for name in ("lab_utils", "lab") for path in (ROOT / name).rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def name_of(path):
    """``lab_utils/core/run.py`` as lab_utils.core.run."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def imports(source):
    """Every module of the house that ``source`` imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in NAMES else node.module)
    return {name for name in found if name.split(".")[0] in ("lab", "lab_utils")}


GRAPH = {name: imports(path.read_text(encoding="utf-8")) for name, path in NAMES.items()}


def source_of(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def test_lab_utils_has_a_room_for_each_notebook_and_nothing_else():
    entries = {p.name for p in (ROOT / "lab_utils").iterdir() if p.name != "__pycache__"}
    assert entries == {"__init__.py", *ROOMS}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_room_imports_core_and_the_rooms_before_it(name):
    if name.startswith("lab_utils."):
        own = ROOMS.index(name.split(".")[1])
        for other in GRAPH[name] - {"lab_utils"}:
            assert other.startswith("lab_utils."), f"{name} imports {other}"
            assert ROOMS.index(other.split(".")[1]) <= own, f"{name} imports {other}"
    elif name == "lab_utils":
        assert not GRAPH[name]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_lab_utils_and_not_the_command(notebook):
    found = imports(source_of(notebook))
    assert found
    assert all(name.startswith("lab_utils") for name in found)


def test_no_circle():
    def visit(name, above):
        assert name not in above, " -> ".join([*above, name])
        if name not in seen:
            for other in GRAPH.get(name, ()):
                visit(other, [*above, name])
            seen.add(name)

    seen = set()
    for name in NAMES:
        visit(name, [])


def test_no_module_of_the_house_is_there_for_type_checkers_alone():
    assert not [name for name, p in NAMES.items() if "TYPE_CHECKING" in p.read_text("utf-8")]


def functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_functions_and_folders_stay_small():
    lengths = {name: len(p.read_text("utf-8").splitlines()) for name, p in NAMES.items()}
    assert {name: n for name, n in lengths.items() if n > 240} == {}
    long = {
        f"{name}.{f.name}": f.end_lineno - f.lineno + 1
        for name, path in NAMES.items()
        for f in functions(path)
    }
    assert {name: n for name, n in long.items() if n > 50} == {}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode == 0:  # a checkout, and not an unpacked archive
        folders = [str(Path(line).parent) for line in tracked.stdout.splitlines()]
        crowded = {folder for folder in folders if folders.count(folder) > 12}
        assert crowded == set()


def test_a_function_takes_at_most_six_parameters():
    def count(f):
        plain = [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
        return len([a for a in plain if a.arg not in ("self", "cls")])

    many = {
        f"{name}.{f.name}": count(f)
        for name, path in NAMES.items()
        for f in functions(path)
        if count(f) > 6
    }
    assert many == {}


def test_notebook_04_loads_little_of_the_house():
    """What is in memory after a training on CIFAR-10's classes; other networks and data are not."""
    code = (
        "import sys\n"
        + "\n".join(
            line
            for line in source_of(ROOT / "notebooks/04_training.ipynb").splitlines()
            if re.match(r"(from|import) ", line)
        )
        + "\nfrom lab_utils.data import cifar10\n"
        "from lab_utils.model.networks import build\n"
        "build('simplecnn')\n"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'lab_utils'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    loaded = [name for name in done.stdout.split() if "exercise" not in name]  # not of a training
    assert "lab_utils.training.fit" in loaded, done.stderr
    assert sum(len(NAMES[name].read_text("utf-8").splitlines()) for name in loaded) <= 4000
    lines = source_of(ROOT / "notebooks/04_training.ipynb").splitlines()
    assert len([line for line in lines if line.startswith("from lab_utils")]) <= 8


def test_importing_the_house_does_no_work():
    """No seed, no output, no environment, no allocator: neither by an import nor by its order."""
    code = (
        "import os, sys, random, importlib\n"
        "state, before = random.getstate(), dict(os.environ)\n"
        f"for name in {sorted(set(NAMES) - {'lab.__main__'})!r}:\n"
        "    importlib.import_module(name)\n"
        "assert random.getstate() == state\n"
        "new = {k for k in os.environ if os.environ[k] != before.get(k)}\n"
        "assert not {k for k in new if k.startswith(('OMP', 'THP', 'LAB', 'ORT'))}, new\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_architecture_page_names_what_there_is():
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = {path for path in re.findall(r"`([\w./]+)`", text) if "/" in path}
    assert len(named) > 20
    for path in named:
        assert (ROOT / path).exists() or path.split("/")[0] in ("runs", "checkpoints"), path
    for module, symbol in re.findall(r"`((?:lab_utils|lab)(?:\.\w+)+)\.(\w+)`", text):
        path = NAMES.get(module)
        assert path, module
        defined = rf"^(?:\s*def|class|\s*async def) {symbol}\b|^{symbol}\b"
        found = re.search(defined, path.read_text("utf-8"), re.MULTILINE)
        assert found, f"{module}.{symbol}"
    assert all(f"lab_utils/{room}/" in text for room in ROOMS)


def test_pairs_of_rooms_are_in_the_order_of_the_notebooks():
    numbers = {p.stem[3:]: int(p.stem[:2]) for p in NOTEBOOKS}
    known = [numbers[room] for room in ROOMS if room in numbers]
    assert all(a < b for a, b in pairwise(known))
    assert len(known) >= 6
