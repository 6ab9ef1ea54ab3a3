"""``params.yaml`` to settings: the defaults, the experiment, ``LAB_SET``, the caller's changes."""

from collections.abc import Mapping
import difflib
import os
from pathlib import Path
import re
import reprlib
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from lab_utils import LabError
from lab_utils.core.files import parse_yaml
from lab_utils.core.settings import Settings

# A folder of this name can be made on every system; Windows keeps some for its devices.
_NAME = re.compile(
    r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[\w=+-](?:[\w.=+ -]{0,118}[\w=+-])?", re.IGNORECASE
)
_Section = Annotated[dict[str, Any], BeforeValidator(lambda found: {} if found is None else found)]


class Params(BaseModel):
    """``params.yaml``: what the report's first page says, and settings by experiment."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # an experiment may be called 2024

    report: _Section = {}
    defaults: _Section = {}
    experiments: dict[str, _Section] = Field(min_length=1)

    def settings(self, experiment: str) -> Settings:
        """The settings of ``experiment`` as they are written here; LabError for a wrong value."""
        return _checked(experiment, self.defaults | self.experiments[experiment])


def project_root() -> Path:
    """The folder that holds ``params.yaml``: the working directory or above, else the lab's own."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "params.yaml").is_file() and (folder / "lab_utils").is_dir():
            return folder
    return Path(__file__).resolve().parents[2]


def runs_dir() -> Path:
    """Where run folders live: ``LAB_RUNS_DIR`` (from the project if relative), else ``runs/``."""
    return (project_root() / expanded(os.environ.get("LAB_RUNS_DIR") or "runs")).resolve()


def expanded(path: str) -> Path:
    """``path`` with the home folder for its ``~``; LabError where nobody has that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise LabError(f"{path} names no home folder of this machine; give a whole path.") from None


def load_params() -> Params:
    """``params.yaml``; LabError where it is missing or does not hold what it should."""
    path = project_root() / "params.yaml"
    try:
        return Params.model_validate(parse_yaml(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise LabError(f"Cannot read {path}: {error.strerror}; restore it from the lab.") from None
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole file"
        raise LabError(f"params.yaml: {where} must hold lines of the form key: value.") from None
    except ValueError as error:
        raise LabError(f"params.yaml is not YAML in UTF-8; mend it there: {error}") from None


def read_settings(folder: Path) -> Settings:
    """The settings of the run in ``folder``; LabError if there is none or they are damaged."""
    path = folder / "settings.yaml"
    try:
        if path.is_file():  # and no pipe, which would be waited for
            return Settings(**parse_yaml(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        problem = "settings.yaml is damaged or of another version of the lab"
        raise LabError(f"{folder}: {problem}; delete that folder or use another name.") from None
    raise LabError(f"No run named {folder.name!r} in {folder.parent}; `lab list` shows the runs.")


def load_settings(experiment: str, /, **overrides: Any) -> Settings:
    """As ``resolve``, but an override of None keeps the file's value, as a notebook's do."""
    return resolve(experiment, {k: value for k, value in overrides.items() if value is not None})


def resolve(experiment: str, changes: Mapping[str, Any]) -> Settings:
    """Settings of ``experiment`` with ``changes``, where None is a value: ``patience=null``.

    Raises LabError for what is unknown, of the wrong type or range, or does not go together.
    """
    params = load_params()
    if experiment not in params.experiments:
        names = ", ".join(params.experiments)
        raise LabError(f"No experiment {experiment!r} in params.yaml; choose one of: {names}.")
    values = params.defaults | params.experiments[experiment]
    values |= parse_assignments(os.environ.get("LAB_SET", "").split(), "LAB_SET")
    return _checked(experiment, values | changes)


def with_changes(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """``settings`` with ``changes``; LabError as ``resolve``."""
    values = settings.model_dump(exclude={"experiment"})
    if settings.folds:  # which set the share that is held out
        del values["val_fraction"]
        values = load_params().defaults | values
    return _checked(settings.experiment, values | dict(changes))


def _checked(experiment: str, values: Mapping[str, Any]) -> Settings:
    known = Settings.model_fields.keys() - {"experiment"}
    if unknown := [key for key in values if key not in known]:
        close = difflib.get_close_matches(str(unknown[0]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "core/settings.py lists them."
        raise LabError(f"Unknown setting {unknown[0]!r} for experiment {experiment!r}; {hint}")
    try:
        return Settings(experiment=experiment, **values)
    except ValidationError as error:
        problem = error.errors()[0]
        if not problem["loc"]:  # two settings that do not go together
            raise LabError(str(problem["ctx"]["error"])) from None
        key, reason = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Input ")
        given = problem["input"]
        if isinstance(given, int) and given.bit_length() > 10_000:  # which Python does not write
            raise LabError(f"Setting {key}: the value {reason}.") from None
        given = reprlib.repr(given)[:60]  # of what nests without end too
        raise LabError(f"Setting {key}={given}: the value {reason}.") from None


def parse_assignments(items: list[str], source: str = "--set") -> dict[str, Any]:
    """``["epochs=3", "flip=false"]`` as ``{"epochs": 3, "flip": False}``; values are YAML.

    Raises LabError where an item is not of the form key=value.
    """
    values = {}
    for item in items:
        key, equals, text = item.partition("=")
        if key.strip() in values:
            raise LabError(f"{source} has {key.strip()} twice; give it once.")
        try:
            values[key.strip()] = parse_yaml(text)
        except ValueError:
            equals = ""
        if not (equals and key.strip()):
            raise LabError(f"{source} takes key=value, not {item[:60]!r}; for example epochs=3.")
    return values


def default_name(settings: Settings) -> str:
    """The run's name: the experiment, and every setting that differs from ``params.yaml``.

    So two runs with different settings never share a folder unless a name is given.
    """
    base = dict(load_params().settings(settings.experiment))
    follows = {"title", "val_fraction"} if settings.folds else {"title"}
    changed = [f"{k}={v}" for k, v in settings if v != base[k] and k not in follows]
    return re.sub(r"[^\w.=+-]", "_", "-".join([settings.experiment, *changed]))[:120]


def check_name(name: str) -> str:
    """``name`` if a run folder may have it; else LabError."""
    if not _NAME.fullmatch(name):
        allowed = "at most 120 letters, digits and - _ = + ., that Windows could use too"
        raise LabError(f"{name[:40]!r} cannot name a run; give it a name of {allowed}.")
    return name


def differences(settings: Settings, wanted: Mapping[str, Any]) -> str:
    """Where ``settings`` are not as ``wanted``, such as ``epochs=3, not 4``; empty for nowhere."""
    found = settings.model_dump()
    return "; ".join(f"{k}={found.get(k)}, not {v}" for k, v in wanted.items() if found.get(k) != v)
