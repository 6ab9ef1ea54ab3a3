"""Run folder to PDF: copies what the report reads into one folder and has Typst compile it.

The text and the layout are in ``report/``; the numbers are read there from the run's files. Typst
reads only below one root, and a run may lie on another drive than the project, so both meet in a
temporary folder: ``report/`` beside ``run/`` (the files of finished steps) and ``code/`` (the
definitions that appendix A prints). Names and settings go in as JSON strings, never as markup.
"""

import ast
from collections.abc import Iterator
from datetime import datetime, timedelta
import json
from pathlib import Path
import re
import shutil
import tempfile
import textwrap
import tomllib
from typing import Any

import typst

from lab.comparison import section
from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.params import load_params, project_root
from lab_utils.core.run import STEPS, Run

_FILES = {
    "01_setup": ("hardware.json",),
    "02_data": ("data.json",),
    "03_model": ("model.json",),
    "04_training": ("history.csv", "training.json"),
    "05_evaluation": ("evaluation.json", "metrics.json"),
    "06_deployment": ("deployment.json",),
}


_CODE = {  # what appendix A prints; the run's own model is added
    "epoch.py": ("train_epoch",),
    "batches.py": ("normalize", "Batches._pick", "Batches._finish"),
    "evaluation.py": ("accuracy",),
}


def build(run: Run, output: Path | None = None) -> Path:
    """Write the report of ``run`` to ``output`` (default ``report.pdf`` in the run); return it.

    A run whose later steps are missing gets a report that says so. The same run, with the same
    runs beside it and in ``report/results``, gives the same bytes. Raises LabError where no step
    has finished, or a file, figure or reference is missing.
    """
    manifest = run.manifest
    done = [step for step in STEPS if manifest.get(step, {}).get("status") == "done"]
    if not done:
        raise LabError(f"Run {run.name!r} has no finished step to report on: run 01_setup first.")
    ended = max(
        datetime.fromisoformat(manifest[step]["started"])
        + timedelta(seconds=int(manifest[step]["seconds"]))
        for step in done
    )
    with tempfile.TemporaryDirectory(prefix="lab-report-", ignore_cleanup_errors=True) as folder:
        root = Path(folder).resolve()
        inputs = _stage(run, done, root)
        inputs["ended"] = f"{ended:%Y-%m-%d %H:%M}"
        pdf = _compile(root, inputs, ended)
    output = Path(output) if output else run.file("report.pdf")
    write_atomic(output, lambda path: path.write_bytes(pdf))
    return output


def _stage(run: Run, done: list[str], root: Path) -> dict[str, Any]:
    """Fill ``root`` with all that Typst reads; return what it gets as values."""
    source = project_root() / "report"
    if not (source / "report.typ").is_file():
        raise LabError(f"{source / 'report.typ'} is missing; restore it from the lab.")
    shutil.copytree(source, root / "report", ignore=shutil.ignore_patterns("*.pdf"))
    (root / "run").mkdir()
    files = [name for step in done for name in _FILES[step]]
    for name in files:
        if not run.file(name).is_file():
            step = next(step for step in done if name in _FILES[step])
            raise LabError(f"{run.file(name)} is missing; run {step} again.")
        shutil.copyfile(run.file(name), root / "run" / name)
    listed = run.read_json("figures.json") if run.file("figures.json").is_file() else {}
    figures = {name: figure for name, figure in listed.items() if figure["step"] in done}
    for name, figure in figures.items():
        if not run.file(figure["file"]).is_file():
            raise LabError(
                f"Figure {name!r} of run {run.name!r} is missing ({figure['file']}); "
                f"run {figure['step']} again."
            )
        copy = root / "run" / figure["file"]
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run.file(figure["file"]), copy)
    compared, drawings = section(run) if "05_evaluation" in done else ({}, {})
    for name, drawing in drawings.items():
        file = f"{name}.svg"  # not of the run's own figures: what lies around it may change
        drawing.figure.savefig(root / "run" / file, bbox_inches="tight", metadata={"Date": None})
        figures[name] = {"step": "05_evaluation", "file": file} | drawing.text
    about = (load_params().get("report") or {}).items()
    return {
        "about": {"title": "Lab report"} | {key: str(value) for key, value in about if value},
        "run": run.name,
        "settings": run.settings.model_dump(),
        "manifest": run.manifest,
        "done": done,
        "missing": [step for step in STEPS if step not in done],
        "files": files,
        "figures": figures,
        "compared": compared,
        "code": _code(run.settings.model, root / "code"),
        "requires": _requires(),
    }


def _requires() -> dict[str, str]:
    """The versions that the lab is meant to work with, by package in lower case, as ``>=2.11``."""
    path = project_root() / "pyproject.toml"
    if not path.is_file():
        raise LabError(f"{path} is missing; restore it from the lab.")
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    ranges = {"python": project["requires-python"]}
    for dependency in project["dependencies"]:
        name, versions = re.match(r"([\w.-]+)(?:\[.*?\])?\s*([^;]*)", dependency).groups()
        ranges[name.lower()] = versions.strip()
    return ranges


def _code(model: str, folder: Path) -> list[dict[str, Any]]:
    """Copy the definitions that appendix A prints to ``folder``; their files, names and lines."""
    folder.mkdir()
    listings = []
    network = model.removesuffix("_standard")
    wanted = {f"models/{network}.py": (network,), **_CODE}
    for file, names in wanted.items():
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        lines = text.splitlines()
        for name, node in _definitions(ast.parse(text)):
            if name.lower() not in (n.lower() for n in names):
                continue
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            copy = f"{len(listings):02d}.py"
            part = textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))
            (folder / copy).write_text(part, encoding="utf-8")
            listings.append({"file": file, "name": name, "line": first, "copy": copy})
    return listings


def _definitions(module: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The functions and classes of ``module``, and methods as ``Class.method``, by name."""
    for node in module.body:
        yield getattr(node, "name", ""), node
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                yield f"{node.name}.{getattr(part, 'name', '')}", part


def _compile(root: Path, inputs: dict[str, Any], ended: datetime) -> bytes:
    """The PDF, with the fonts inside Typst, and the system's only where those lack a character."""
    missing = ""
    for attempt in range(9):
        values = json.dumps(inputs | {"no_glyph": missing}, ensure_ascii=False)
        try:
            return typst.compile(
                root / "report" / "report.typ",
                root=root,
                ignore_system_fonts=attempt == 0,
                sys_inputs={"lab": values},
                pdf_standards=["ua-1"],
                timestamp=ended,
            )
        except typst.TypstError as error:
            lacking = re.findall(r'the text `"(.+?)"` could not be', error.diagnostic)
            if not lacking or attempt == 8:
                raise LabError(_explain(error, root, inputs)) from None
            if attempt > 0:
                missing += "".join(lacking)
    raise AssertionError("unreachable")


def _explain(error: typst.TypstError, root: Path, inputs: dict[str, Any]) -> str:
    """One sentence of what Typst says: what is wrong, where, and what mends it."""
    for name, figure in inputs["figures"].items():
        try:  # Typst names the line that shows all figures, not the figure
            picture = {"file": f"/run/{figure['file']}"}
            typst.compile(b"#image(sys.inputs.file)", root=root, sys_inputs=picture)
        except typst.TypstError:
            return (
                f"Figure {name!r} of run {inputs['run']!r} is damaged ({figure['file']}); "
                f"run {figure['step']} again."
            )
    where = re.search(r"┌─ (\S+?):(\d+)", error.diagnostic)
    file, line = where.groups() if where else ("report/report.typ", "1")
    file = re.sub(r".*/(?=(report|run|code)/)", "", file.replace("\\", "/"))
    label = re.search(r"label `<(.+?)>` does not exist", error.message)
    if label:
        return f"The report refers to {label[1]!r}, which it does not have; mend {file}:{line}."
    if file.startswith("run/"):
        return f"{file.removeprefix('run/')} is damaged ({error.message}); run its step again."
    return f"The report cannot be made: {error.message}; mend {file}, line {line}."
