"""The project's own files: style, the README's commands, pins that agree."""

import re
import shlex
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import nbformat
import pytest
import yaml

from lab.cli import _parser
from lab_utils.core import process
from lab_utils.core.params import load_settings, project_root

ROOT = project_root()
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(program):
    """The command lines of the README's code blocks that call ``program``."""
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", README, re.DOTALL))
    lines = [part.strip() for line in blocks.splitlines() for part in line.split("&&")]
    found = [re.search(rf"(?:^|[\\/]){program}(?:\s+(.*))?$", line) for line in lines]
    return [(match[1] or "").split(" #")[0].strip() for match in found if match]


@pytest.mark.parametrize("check", [["check"], ["format", "--check"]])
def test_ruff_is_content(check):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *check, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_readme_names_the_two_commands():
    one = "python -m venv .venv && .venv/bin/pip install -r requirements.txt && .venv/bin/lab run"
    assert f"\n{one}\n" in README
    assert "\n.venv/bin/pytest\n" in README
    assert r".venv\Scripts\lab run" in README
    assert r".venv\Scripts\pytest" in README


@pytest.mark.parametrize("arguments", commands("lab"))
def test_every_lab_command_of_the_readme_is_understood(arguments, monkeypatch):
    monkeypatch.delenv("LAB_SET", raising=False)
    options = _parser().parse_args(shlex.split(arguments))
    if hasattr(options, "experiment"):
        pairs = dict(item.split("=") for item in options.set)
        load_settings(options.experiment, **pairs)


@pytest.mark.parametrize("arguments", commands("papermill"))
def test_every_papermill_command_of_the_readme_names_real_parameters(arguments):
    words = shlex.split(arguments)
    notebook = nbformat.read(ROOT / words[0], as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    names = re.findall(r"^(\w+) =", cell.source, re.MULTILINE)
    given = [words[i + 1] for i, word in enumerate(words) if word == "-p"]
    assert given
    assert set(given) <= set(names)


def test_every_dependency_is_pinned_and_installed_as_pinned():
    from importlib.metadata import version

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    for dependency in project["dependencies"]:
        assert re.split(r"[>=<]", dependency)[0] in pins
    for name, pinned in pins.items():
        assert version(name).split("+")[0] == pinned


def test_conda_installs_the_same_requirements():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert {"pip": ["-r requirements.txt"]} in environment["dependencies"]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_opens_its_run_before_torch_is_imported(path):
    """OpenMP reads how its threads are to wait when torch loads it."""
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(c.source for c in cells if c.cell_type == "code")
    run = source.find("open_run(")
    torch = re.search(r"^(import|from) torch", source, re.MULTILINE)
    assert torch is None or 0 < run < torch.start()


@pytest.mark.parametrize(
    ("largest", "kept"),
    [(1 << 30, {-3: 1 << 27, -1: 2**31 - 1}), (1 << 25, {-3: 1 << 25, -1: 2**31 - 1}), (0, {})],
)
def test_freed_memory_is_kept_only_where_the_c_library_takes_large_blocks(largest, kept):
    found = {}

    def mallopt(parameter, value):
        if parameter == -3 and value > largest:  # as older releases of glibc do
            return 0
        found[parameter] = value
        return 1

    process._keep_freed_blocks(SimpleNamespace(mallopt=mallopt))
    assert found == kept
