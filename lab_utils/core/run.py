"""The run folder: the one thing that passes between notebooks, command line and report."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
import os
from pathlib import Path
import time
from typing import Any

import yaml

from lab_utils import LabError
from lab_utils.core.files import one_training, read_json, write_atomic, write_json, write_text
from lab_utils.core.manifest import FIGURES, check, checksums, read_figures, read_manifest, written
from lab_utils.core.params import check_name, default_name, differences, read_settings, runs_dir
from lab_utils.core.process import peak_memory_mb, threads, versions
from lab_utils.core.settings import Settings
from lab_utils.core.show import Notice, printable

# The steps of a run, and the file that holds what each of them recorded.
RECORDS = {
    "01_setup": "hardware.json", "02_data": "data.json", "03_model": "model.json",
    "04_training": "training.json", "05_evaluation": "evaluation.json",
    "06_deployment": "deployment.json", "08_speed": "speed.json", "09_insight": "insight.json",
}  # fmt: skip
OPTIONAL = ("08_speed", "09_insight")  # the steps that `lab run --all` adds
STEPS = tuple(step for step in RECORDS if step not in OPTIONAL)
METRICS = "metrics.json"  # the plain numbers and texts of 05_evaluation, for other tools to read
# Re-running the key makes what these steps computed from its results void.
_DEPENDENTS = {
    "04_training": ("05_evaluation", "06_deployment", "09_insight"),
    "05_evaluation": ("06_deployment", "09_insight"),
}
BUILT_ON = {
    step: [needed for needed, dependents in _DEPENDENTS.items() if step in dependents]
    for step in RECORDS
}


class Run:
    """One run folder, and the settings that every step of it uses.

    ``step`` is worked on, empty where the run is only read; ``recorded`` is what it found so far;
    ``opened_last`` says that a notebook found it as the one that was opened last.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.name, self.settings = path, printable(path.name), settings
        self.step, self.recorded, self.began = "", {}, 0.0
        self.opened_last = False

    @classmethod
    def create(cls, settings: Settings, name: str | None = None) -> "Run":
        """Open ``runs/<name>``, made if needed; LabError if it holds a run of other settings."""
        name = check_name(name or default_name(settings))
        run = cls(runs_dir() / name, settings)
        if run.file("settings.yaml").is_file():
            wanted = settings.model_dump(exclude={"title"})
            if other := differences(cls.load(name).settings, wanted):
                mend = "give this run another name or delete that folder"
                raise LabError(f"{run.path} was made with other settings ({other}); {mend}.")
        else:
            text = yaml.safe_dump(settings.model_dump(), sort_keys=False, allow_unicode=True)
            write_text(run.file("settings.yaml"), text)
        return run

    @classmethod
    def load(cls, name: str) -> "Run":
        """The existing run ``name``; LabError if there is none or its settings are damaged."""
        return cls.open(runs_dir() / name)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """The existing run in the folder ``path``, wherever it lies; LabError as ``load``."""
        return cls(path, read_settings(path))

    def file(self, name: str) -> Path:
        """The path of ``name`` inside the run folder."""
        return self.path / name

    def inside(self, name: str) -> Path:
        """Where ``name`` really lies; LabError where a link leads out of the run folder."""
        path = Path(os.path.realpath(self.file(name)))
        if not path.is_relative_to(os.path.realpath(self.path)):
            where = f"the folder of run {self.name!r}, where nothing is read or written"
            raise LabError(f"{name} leads out of {where}; delete that link and run its step again.")
        return path

    def read_json(self, name: str) -> Any:
        """The run's JSON file ``name``; LabError if it is missing or damaged."""
        return read_json(self.file(name))

    @property
    def manifest(self) -> dict[str, Any]:
        """Per step, finished or started: when, how long, seed, versions, data, memory, threads."""
        return read_manifest(self.path)

    def done(self, step: str) -> bool:
        """Whether ``step`` has finished, and nothing before it has been run again since."""
        return self.manifest.get(step, {}).get("status") == "done"

    def require(self, step: str) -> None:
        """LabError unless ``step`` has finished in this run, and its files are as it left them.

        Where it has not, the runs in which it has are named.
        """
        if self.done(step):
            return self.check(step, "figures")
        begun = self.manifest.get(step, {}).get("started", "")[11:16]  # its hour
        problem = f"Run {self.name!r} has no finished {step}"
        problem += f", which began at {begun}" if begun else ""
        beside = sorted(self.path.parent.glob("*/manifest.json"), key=lambda f: -f.stat().st_mtime)
        others = []
        for path in beside:
            with suppress(LabError):
                if (other := Run.open(path.parent)).done(step):
                    others.append(repr(other.name))
        mend = f"wait for it, or run {step} again" if begun else f"run {step} first"
        instead = f", or set name to a run that has it: {', '.join(others[:3])}" if others else ""
        raise LabError(f"{problem}: {mend}{instead}.")

    def check(self, step: str, *without: str) -> None:
        """LabError where a file of the finished ``step`` is gone, or not as the step left it.

        Not of files whose names begin with one of ``without``, and not of a run of an older lab,
        which noted no checksums.
        """
        noted = self.manifest[step].get("sha256", {})
        check(self.path, step, {n: noted[n] for n in noted if not n.startswith(without)})

    def forget(self, steps: Iterable[str], fresh: bool = False) -> None:
        """Mark ``steps`` as not done: their results no longer hold.

        What an unfinished training had saved is kept, so that it can go on, unless ``fresh``.
        """
        manifest = self.manifest
        for step in steps:
            done = manifest.pop(step, {}).get("status") == "done"
            if step == "04_training" and (fresh or done):
                self.file("checkpoints/last.pt").unlink(missing_ok=True)
        write_json(self.file("manifest.json"), manifest)

    def begin(self, step: str) -> None:
        """Record that ``step`` starts now; what later steps made of its old results is void.

        One that was killed finds what it had saved. A training that was done stays done, with all
        that came of it, and notebook 04 shows it again; ``train_anew`` starts another.
        """
        self.step, self.recorded, self.began = step, {}, time.time()
        done, trained = self.done(step), self.file("checkpoints/last.pt").is_file()
        if not (step == "04_training" and done and trained):
            self._start(keep_data=not done)  # what a step that was killed had saved is of its data

    def train_anew(self) -> None:
        """Start this step's training from nothing; LabError while another process trains it."""
        with one_training(self.path):
            self.file("checkpoints/last.pt").unlink(missing_ok=True)
            self._start(keep_data=True)

    def _start(self, keep_data: bool) -> None:
        before = self.manifest.get(self.step, {})
        self.forget((self.step, *_DEPENDENTS.get(self.step, ())))
        started = datetime.now().astimezone().isoformat(timespec="seconds")
        entry = {"status": "running", "started": started, "seed": self.settings.seed}
        if keep_data and "data" in before:
            entry["data"] = before["data"]
        write_json(self.file("manifest.json"), self.manifest | {self.step: entry | versions()})

    def _begun(self) -> dict[str, Any]:
        manifest = self.manifest
        if self.step not in manifest:
            anew = f"{self.step} of run {self.name!r} was begun anew elsewhere"
            raise LabError(f"{anew}; run its notebook from the top.")
        return manifest

    def use_data(self, name: str, fingerprint: str) -> None:
        """Record the data that this step uses; LabError if an earlier step used other data."""
        manifest = self._begun()
        for other, entry in manifest.items():
            seen = entry.get("data", {})
            if seen and seen["fingerprint"] != fingerprint:
                raise LabError(
                    f"{other} of run {self.name!r} used other data ({seen['name']}, now {name}); "
                    "restore that data, or begin anew with `lab run --from 01` or another name."
                )
        manifest[self.step]["data"] = {"name": name, "fingerprint": fingerprint}
        write_json(self.file("manifest.json"), manifest)

    def show(self, drawing: Any) -> None:
        """Save a ``Drawing`` as a figure of this step, with its texts, and display it."""
        from IPython.display import display  # a run is opened before anything slow is imported

        write_atomic(self.file(drawing.file), lambda path: path.write_bytes(drawing.encode()))
        figures = read_figures(self.path) | {drawing.name: drawing.entry(self.step)}
        write_json(self.file(FIGURES), figures)
        if self.done(self.step):  # drawn again, in a step that has vouched for its files already
            manifest, names = self.manifest, (drawing.file, FIGURES)
            noted = manifest[self.step].setdefault("sha256", {})
            noted |= checksums(self.path, self.step, names)
            write_json(self.file("manifest.json"), manifest)
        display(drawing, display_id=drawing.name)  # `interactive` redraws it there

    def record(self, **values: Any) -> None:
        """Note results of this step by name; ``finish`` writes them to the step's JSON file.

        NumPy and torch values become numbers and lists, dataclasses objects, NaN null.
        """
        self.recorded |= values

    def finish(self, earlier_seconds: float = 0.0) -> Notice:
        """Write what was recorded, and that the step is done; return a notice of it.

        ``earlier_seconds`` is what sessions took that were stopped before. Raises LabError where
        the step was begun anew by something else.
        """
        step, manifest = self.step, self._begun()
        entry = manifest[step]
        if entry["status"] != "done":
            record = self.recorded
            if step == "05_evaluation":
                flat = {k: v for k, v in record.items() if _is_plain(v)}
                write_json(self.file(METRICS), flat)
                record = {k: v for k, v in record.items() if k not in flat}
            write_json(self.file(RECORDS[step]), record)
            entry["status"] = "done"
            entry["seconds"] = round(time.time() - self.began + earlier_seconds, 2)
            entry["peak_memory_mb"] = round(peak_memory_mb())
            entry["threads"] = threads()
            if "threads_reason" in record:  # of the steps that choose
                entry["threads_reason"] = record["threads_reason"]
            entry["sha256"] = written(self.path, step, RECORDS[step])
            write_json(self.file("manifest.json"), manifest)
        cost = f"{entry['seconds']:.1f} s, peak memory {entry['peak_memory_mb']:,} MB"
        return Notice(f"{step} is done: {cost}, results in run {self.name!r}.")


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | None) or getattr(value, "ndim", 1) == 0
