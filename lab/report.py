"""Run folder to PDF: Typst compiles the text in ``report/`` with the files of the run.

The run folder is the only one that Typst may read; the project's files are handed to it as text. So
nothing is copied, the two may be on two drives, and no file of a run can bring another file of this
machine into the report. Names and settings go in as JSON strings, never as markup.
"""

from datetime import datetime, timedelta
import json
import os
from pathlib import Path
import re
import sys
from typing import Any

import typst

from lab import student
from lab.comparison import section
from lab_utils import LabError
from lab_utils.core.files import write_atomic
from lab_utils.core.manifest import FIGURES, MANIFEST, read_figures
from lab_utils.core.params import project_root
from lab_utils.core.records import KINDS, read
from lab_utils.core.run import RECORDS, STEPS, Run
from lab_utils.core.settings import MODELS
from lab_utils.deployment.model_card import CARD, write_card
from lab_utils.training.history import read_history

_HISTORY = "history.csv"
# In an SVG, a reference to anything but a part of it, or an image that it holds itself.
_ELSEWHERE = rb"href\s*=\s*[\"'](?!#[\w-]*[\"']|data:image/(?:png|jpeg);base64,)"
# How to compile; the second and the third are for characters that the way before cannot show.
_WAYS: tuple[dict[str, Any], ...] = (
    {"ignore_system_fonts": True, "pdf_standards": ["ua-1"]},
    {"pdf_standards": ["ua-1"]},
    {},  # PDF/UA-1 forbids the box that stands for a character which no font has
)


def build(run: Run) -> Path:
    """Write the report of ``run`` to ``report.pdf`` in its folder; return it.

    A run whose later steps are missing gets a report that says so. The same run, with the same
    runs beside it and in ``report/results``, gives the same bytes. Raises LabError where no step
    has finished, or a file, figure or reference is missing, damaged or leads out of the run folder.
    """
    manifest = run.manifest
    done = [step for step in RECORDS if run.done(step)]
    if not done:
        raise LabError(f"Run {run.name!r} has no finished step to report on: run 01_setup first.")
    ended = max(_ended(run, step, manifest[step]) for step in done)
    files, settings = _files(run, done), run.settings
    inputs = {
        "about": student.about(run),
        "discussion": student.discussion(run),
        "run": run.name,
        "settings": settings.model_dump(mode="json"),
        "explained": {name: settings.explain(name) for name in type(settings).model_fields},
        "models": MODELS,
        "manifest": MANIFEST.dump_python(MANIFEST.validate_python(manifest), exclude_unset=True),
        "done": done,
        "missing": [step for step in STEPS if step not in done],
        "ended": f"{ended:%Y-%m-%d %H:%M}",
        "files": files,
        "figures": _figures(run, done),
        "compared": {},
    }
    sources = _sources()
    if "05_evaluation" in done:
        inputs["compared"], drawings = section(run)
        damaged = inputs["compared"].pop("damaged")
        for name, why in damaged.items():  # with paths: the report has the names alone
            print(f"lab: left out of the comparison, {name}: {why}", file=sys.stderr)
        inputs["compared"]["left_out"] = list(damaged)
        for drawing in drawings:  # no files of the run: what lies around it may change
            sources[drawing.file] = drawing.encode()
            inputs["figures"][drawing.name] = drawing.entry("05_evaluation")
    if "06_deployment" in done:
        run.inside(CARD)
        write_card(run)  # 09 may have run since the files were exported
        inputs["files"].append(_inside(run, "06_deployment", CARD))
    pdf = _compile(run, sources, inputs, ended)
    output = run.file("report.pdf")
    write_atomic(output, lambda path: path.write_bytes(pdf))
    return output


def _ended(run: Run, step: str, entry: dict[str, Any]) -> datetime:
    try:
        began = datetime.fromisoformat(entry["started"])
        return began + timedelta(seconds=int(entry["seconds"]))
    except (KeyError, ValueError):
        where = f"{run.file('manifest.json')} is damaged ({step})"
        raise LabError(f"{where}; delete it and run again.") from None


def _files(run: Run, done: list[str]) -> list[str]:
    """The files of the steps ``done`` that Typst reads; LabError where one is not as it should be.

    What the report does not show, weights for one, is not looked at.
    """
    for step in done:
        run.check(step, "checkpoints", "exports")
    kinds = [kind for kind in KINDS if kind.made_by in done]
    files = [_inside(run, kind.made_by, kind.file()) for kind in kinds]
    for kind in kinds:
        read(run, kind)
    if "04_training" in done:
        files.append(_inside(run, "04_training", _HISTORY))
        read_history(run.file(_HISTORY))
    return files


def _inside(run: Run, step: str, name: str) -> str:
    """``name`` as seen from the run folder; LabError where it is no file in that folder."""
    path = run.inside(name)
    if not path.is_file():
        raise LabError(f"{path} is missing; run {step} again.")
    return path.relative_to(os.path.realpath(run.path)).as_posix()


def _figures(run: Run, done: list[str]) -> dict[str, dict[str, str]]:
    """The figures of the finished steps as figures.json has them, by name."""
    if not run.file(FIGURES).is_file():
        return {}
    _inside(run, done[0], FIGURES)
    listed = read_figures(run.path).items()
    figures = {
        name: {key: figure[key] for key in ("step", "file", "caption", "alt")}
        for name, figure in listed
        if figure["step"] in done
    }
    for name, figure in figures.items():
        figure["file"] = _inside(run, figure["step"], figure["file"])
        # An SVG may show the image of another file; the lab's hold their images themselves.
        content = run.file(figure["file"]).read_bytes()
        packed = content.startswith(b"\x1f\x8b")  # an SVG in gzip, which Typst would open
        if packed or re.search(_ELSEWHERE, content):
            raise LabError(
                f"Figure {name!r} of run {run.name!r} refers to another file, which the report "
                f"does not read; run {figure['step']} again."
            )
    return figures


def _sources() -> dict[str, bytes]:
    """The project's files for the report, by the names that they have there: text and code."""
    root = project_root()
    files = [root / "pyproject.toml", root / "report" / "references.bib"]
    files += [*(root / "report").rglob("*.typ"), *(root / "lab_utils").rglob("*.py")]
    names = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    return {"main": b'#include "report/report.typ"'} | names


def _compile(run: Run, sources: dict[str, bytes], inputs: dict[str, Any], ended: datetime) -> bytes:
    values = {"lab": json.dumps(inputs, ensure_ascii=False)}
    options = {"root": run.path.resolve(), "sys_inputs": values, "timestamp": ended}
    for way in _WAYS:
        try:
            return typst.compile(sources, **options, **way)
        except typst.TypstError as error:
            problem = error
            if "could not be displayed" not in error.message:
                break
            if way == _WAYS[-2]:
                told = f"{error.message}; install one, or the report has a box there"
                print(f"lab: {told} and is not PDF/UA.", file=sys.stderr)
    raise LabError(_explain(run, problem, sources, inputs))


def _explain(
    run: Run, error: typst.TypstError, sources: dict[str, bytes], inputs: dict[str, Any]
) -> str:
    """One sentence of what Typst says: what is wrong, where, and what mends it."""
    for name, figure in inputs["figures"].items():
        try:  # Typst names the line that shows all figures, not the figure
            picture = f"#image({json.dumps('/' + figure['file'])})".encode()
            typst.compile(sources | {"main": picture}, root=run.path.resolve())
        except typst.TypstError:
            return f"Figure {name!r} of run {run.name!r} is damaged; run {figure['step']} again."
    where = re.search(r"┌─ .*?([\w.]+):(\d+)", error.diagnostic)
    file, line = where.groups() if where else ("report.typ", "1")
    if file in inputs["files"]:
        return f"{file} is damaged ({error.message}); run its step again."
    return f"The report cannot be made: {error.message}; mend {file}, line {line}."
