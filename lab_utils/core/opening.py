"""Which run: by name, by its settings, the one that was opened last, or all that were tested."""

from collections.abc import Iterable
from contextlib import suppress
import os
from pathlib import Path
import re

from lab_utils import LabError
from lab_utils.core.files import write_text
from lab_utils.core.params import (
    default_name,
    differences,
    parse_assignments,
    resolve,
    runs_dir,
    with_changes,
)
from lab_utils.core.process import prepare
from lab_utils.core.run import BUILT_ON, Run
from lab_utils.core.settings import Settings
from lab_utils.core.show import printable

_CURRENT = ".current"  # in runs/: the name of the run that a notebook opened last


def open_run(
    step: str, experiment: str | None = None, name: str | None = None, changes: str | None = None
) -> Run:
    """What a notebook does first: find the run, make its folder if needed, begin ``step`` in it.

    ``experiment`` (from params.yaml) and ``name`` say which run; without both it is the one that
    was opened last, or ``quick``. ``changes`` are other settings, such as ``"epochs=3 lr=1e-3"``;
    where they change anything the run is another one, with a folder of its own. A run that ``name``
    finds keeps its settings; what is given besides must agree with them.

    Raises LabError where the settings are wrong, or a step that ``step`` builds on is not done.
    """
    prepare()
    experiment, name = (str(word) if word else None for word in (experiment, name))  # of papermill
    items = re.split(r"\s+(?=\w+=)", (changes or "").strip())  # a value may hold spaces
    values = parse_assignments([item for item in items if item], "changes")
    last = None if experiment or name else current()
    if name and (runs_dir() / name / "settings.yaml").is_file():
        run = Run.load(name)
        wanted = with_changes(run.settings, values).model_dump()
        wanted |= {"experiment": experiment} if experiment else {}
        if other := differences(run.settings, wanted):
            raise LabError(f"Run {name!r} has {other}; give this run another name.")
    else:
        begun = with_changes(last.settings, values) if last else None
        settings = begun or resolve(experiment or "quick", values)
        if last and settings == last.settings:
            run = last
        else:
            run = _of(settings, name or default_name(settings), BUILT_ON.get(step, ()))
    for needed in BUILT_ON.get(step, ()):
        run.require(needed)
    run.opened_last = run is last
    run.begin(step)
    if "LAB_RUN" not in os.environ:  # `lab` sets it for its kernels: nobody opens notebooks there
        write_text(runs_dir() / _CURRENT, run.name)
    return run


def _of(settings: Settings, name: str, needed: Iterable[str]) -> Run:
    """The run ``name``, its folder made if needed, but not for a step that would be refused."""
    if not (runs_dir() / name / "settings.yaml").is_file():
        for step in needed:
            Run(runs_dir() / name, settings).require(step)
    return Run.create(settings, name)


def current() -> Run | None:
    """The run that was opened last: ``LAB_RUN`` where it is set, else as ``runs/`` remembers it."""
    name = os.environ.get("LAB_RUN", "")
    with suppress(OSError, UnicodeDecodeError, LabError):
        return Run.load(name or (runs_dir() / _CURRENT).read_text(encoding="utf-8").strip())
    return None


def tested_runs(folder: Path, damaged: dict[str, str] | None = None) -> list[Run]:
    """The tested runs in ``folder`` or two levels below; ``damaged`` has others' faults by name."""
    runs = []
    for level in ("", "*/", "*/*/"):
        for file in sorted(folder.glob(f"{level}settings.yaml")):
            try:
                if (run := Run.open(file.parent)).done("05_evaluation"):
                    runs.append(run)
            except LabError as error:
                if damaged is not None:
                    damaged[printable(file.parent.name)] = printable(str(error))
    return runs
