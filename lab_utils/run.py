"""The run folder: the one thing that passes between notebooks, command line and report."""

from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import version
import os
from pathlib import Path
import platform
import re
import subprocess
import time
from typing import Any

from lab_utils import LabError
from lab_utils.files import read_json, write_atomic, write_json
from lab_utils.settings import Settings, default_name, load_settings, project_root
import yaml

STEPS = (
    "01_setup",
    "02_data",
    "03_model",
    "04_training",
    "05_evaluation",
    "06_deployment",
)
# Re-running the key makes what these steps computed from its results void.
_DEPENDENTS = {
    "04_training": ("05_evaluation", "06_deployment"),
    "05_evaluation": ("06_deployment",),
}
# What lets a killed step go on where it stopped. While the step is not done it is kept; beginning
# a step that is done starts afresh, so it is removed then.
_UNFINISHED = {"04_training": "checkpoints/last.pt"}
# A comparison reads dozens of such files, and the loader in C takes a tenth of the time.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "papermill")


def runs_dir() -> Path:
    """Where run folders live: ``LAB_RUNS_DIR`` (from the project if relative), else ``runs/``."""
    given = Path(os.environ.get("LAB_RUNS_DIR") or "runs").expanduser()
    return (project_root() / given).resolve()


class Run:
    """One run folder and its settings.

    ``path`` is the folder, ``name`` its name, ``settings`` what every step of it uses.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.name = path.name
        self.settings = settings

    @classmethod
    def create(cls, settings: Settings, name: str | None = None) -> "Run":
        """Open ``runs/<name>``, made if needed; LabError if it holds a run of other settings."""
        name = name or default_name(settings)
        if not re.fullmatch(r"[\w=+-][\w.=+ -]*", name):
            raise LabError(f"{name!r} cannot name a run; use letters, digits and . - _ = +.")
        run = cls(runs_dir() / name, settings)
        file = run.path / "settings.yaml"
        if file.is_file():
            found, wanted = cls.load(name).settings.model_dump(), settings.model_dump()
            names = [key for key in wanted if key != "title" and found[key] != wanted[key]]
            other = [f"{key}={found[key]}, not {wanted[key]}" for key in names]
            if other:
                raise LabError(
                    f"{run.path} was made with other settings ({'; '.join(other)}); "
                    "give this run another name or delete that folder."
                )
        else:
            text = yaml.safe_dump(settings.model_dump(), sort_keys=False, allow_unicode=True)
            write_atomic(file, lambda path: path.write_text(text, encoding="utf-8"))
        return run

    @classmethod
    def load(cls, name: str) -> "Run":
        """The existing run ``name``; LabError if there is none or its settings are damaged."""
        path = runs_dir() / name
        if not (path / "settings.yaml").is_file():
            raise LabError(
                f"No run named {name!r} in {runs_dir()}; `lab list` shows what is there."
            )
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> "Run":
        """The existing run in the folder ``path``, wherever it lies; LabError as ``load``."""
        try:
            text = (path / "settings.yaml").read_text(encoding="utf-8")
            values = yaml.load(text, Loader=_SafeLoader)
            return cls(path, Settings(**values))
        except FileNotFoundError:
            raise LabError(f"{path} is no run folder: it has no settings.yaml.") from None
        except (ValueError, TypeError, yaml.YAMLError):
            raise LabError(
                f"{path / 'settings.yaml'} is damaged or of another version of the lab; "
                "delete that run folder or give this run another name."
            ) from None

    def file(self, name: str) -> Path:
        """The path of ``name`` inside the run folder."""
        return self.path / name

    def write_json(self, name: str, data: Any) -> None:
        """Write ``data`` to the run's file ``name``, atomically."""
        write_json(self.path / name, data)

    def read_json(self, name: str) -> Any:
        """The run's JSON file ``name``."""
        return read_json(self.path / name)

    @property
    def manifest(self) -> dict[str, Any]:
        """Per finished or started step: when, how long, seed, commit, versions, data, memory."""
        path = self.path / "manifest.json"
        manifest = read_json(path) if path.is_file() else {}
        if not isinstance(manifest, dict):
            raise LabError(f"{path} is damaged; delete it and run again.")
        return manifest

    def done(self, step: str) -> bool:
        """Whether ``step`` has finished, and nothing before it has been run again since."""
        return self.manifest.get(step, {}).get("status") == "done"

    def require(self, step: str) -> None:
        """LabError unless ``step`` has finished in this run."""
        if not self.done(step):
            raise LabError(f"Run {self.name!r} has no finished {step}: run {step} first.")

    def forget(self, steps: Iterable[str], fresh: bool = False) -> None:
        """Mark ``steps`` as not done: their results no longer hold.

        What an unfinished step had saved is kept, so that it can go on, unless ``fresh``.
        """
        for step in set(steps) & set(_UNFINISHED):
            if fresh or self.done(step):
                self.file(_UNFINISHED[step]).unlink(missing_ok=True)
        kept = {step: entry for step, entry in self.manifest.items() if step not in set(steps)}
        self.write_json("manifest.json", kept)

    def begin(self, step: str) -> None:
        """Record that ``step`` starts now; what later steps made of its old results is void.

        A step that was done starts afresh; one that was killed finds what it had saved.
        """
        unfinished = self.manifest.get(step, {}).get("data") if not self.done(step) else None
        self.forget((step, *_DEPENDENTS.get(step, ())))
        entry = {
            "status": "running",
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "started_at": time.time(),
            "seed": self.settings.seed,
            "git_commit": _git_commit(),
            "python": platform.python_version(),
            "versions": {name: version(name) for name in _PACKAGES},
        }
        if unfinished:  # what it had saved was made with these data
            entry["data"] = unfinished
        self.write_json("manifest.json", self.manifest | {step: entry})

    def use_data(self, step: str, name: str, fingerprint: str) -> None:
        """Record the data that ``step`` uses; LabError if an earlier step used other data."""
        manifest = self.manifest
        for other, entry in manifest.items():
            seen = entry.get("data", {})
            if seen and seen["fingerprint"] != fingerprint:
                raise LabError(
                    f"{other} of run {self.name!r} used other data ({seen['name']}) than is found "
                    f"now ({name}); restore that data, or begin anew with `lab run --from 01`, "
                    "another name, or without that run folder."
                )
        manifest[step]["data"] = {"name": name, "fingerprint": fingerprint}
        self.write_json("manifest.json", manifest)

    def finish(self, step: str, earlier_seconds: float = 0.0) -> str:
        """Record that ``step`` is done, its wall time and peak memory; return a line about it.

        ``earlier_seconds`` is what sessions took that were stopped before. Raises LabError where
        ``step`` was not begun here, or something else has begun it anew.
        """
        manifest = self.manifest
        entry = manifest.get(step)
        if entry is None:
            raise LabError(f"{step} of run {self.name!r} was begun anew elsewhere; run it again.")
        if entry["status"] != "done":
            seconds = time.time() - entry.pop("started_at") + earlier_seconds
            entry["seconds"] = round(seconds, 2)
            entry["peak_memory_mb"] = round(peak_memory_mb())
            entry["status"] = "done"
            self.write_json("manifest.json", manifest)
        return (
            f"{step} is done: {entry['seconds']:.1f} s, "
            f"peak memory {entry['peak_memory_mb']:,} MB, results in run {self.name!r}."
        )

    def save_figure(self, step: str, figure: Any, name: str, caption: str, alt: str) -> None:
        """Save a Matplotlib ``figure`` as ``figures/<name>`` with its caption and alt text.

        Curves and bars are stored as SVG, figures that hold images as PNG (160 dpi).
        """
        raster = any(axes.images for axes in figure.axes)
        file = f"figures/{name}.{'png' if raster else 'svg'}"
        options = {"dpi": 160, "bbox_inches": "tight"}
        if not raster:
            options["metadata"] = {"Date": None}  # the same figure gives the same file
        write_atomic(self.path / file, lambda path: figure.savefig(path, **options))
        path = self.path / "figures.json"
        figures = read_json(path) if path.is_file() else {}
        figures[name] = {"step": step, "file": file, "caption": caption, "alt": alt}
        write_json(path, figures)


def _git_commit() -> str | None:
    """The project's commit, with ``+changes`` where the tree differs; None outside a checkout."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(project_root()), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def peak_memory_mb() -> float:
    """The largest resident size of this process so far, in megabytes (10^6 bytes)."""
    try:
        import resource
    except ImportError:  # Windows keeps the same figure elsewhere
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if platform.system() == "Darwin" else peak / 1e3


def open_run(step: str, experiment: str, name: str | None = None, **overrides: Any) -> Run:
    """What a notebook does first: resolve the settings, open the run folder, begin ``step``.

    An existing run of that ``name`` keeps its settings; what is given here must agree with them.
    Raises LabError where the settings are wrong or a step that ``step`` builds on has not finished.
    """
    if name and (runs_dir() / name / "settings.yaml").is_file():
        run = Run.load(name)
        given = {"experiment": experiment} | {k: v for k, v in overrides.items() if v is not None}
        found = run.settings.model_dump()
        other = [f"{k}={found.get(k)}, not {v}" for k, v in given.items() if found.get(k) != v]
        if other:
            raise LabError(f"Run {name!r} has {'; '.join(other)}; give this run another name.")
    else:
        run = Run.create(load_settings(experiment, **overrides), name or None)
    for needed, dependents in _DEPENDENTS.items():
        if step in dependents:
            run.require(needed)
    run.begin(step)
    return run
