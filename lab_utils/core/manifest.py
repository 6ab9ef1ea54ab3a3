"""``manifest.json``: what is known of each step, and checksums by which it vouches for its files.

A checksum shows that a file was damaged, or taken from another run. It is no signature: who changes
a file on purpose can change its checksum too.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from pydantic_core import to_json
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from lab_utils import LabError
from lab_utils.core.files import read_json

FIGURES = "figures.json"  # the texts of all steps' figures, of which each step vouches for its own
# What a step writes beside its record and its figures. Not last.pt, which nobody reads once the
# training is done, and no Markdown: `lab report` writes the model card again.
_FILES = {
    "04_training": ("history.csv", "checkpoints/best.pt"),
    "05_evaluation": ("metrics.json", "predictions.npz"),
    "06_deployment": ("exports/*[!d]",),
}


class _Data(BaseModel):
    name: str
    fingerprint: str


class _Entry(BaseModel):
    """What readers rely on in the entry of a step, which holds more. A clock may say 1970."""

    status: Literal["running", "done"]
    started: str = Field("", pattern=r"^[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$")
    seconds: float = Field(0.0, ge=0, le=1e9, strict=True)
    peak_memory_mb: float = Field(0.0, ge=0, le=1e9, strict=True)
    git_commit: str | None = None
    python: str = ""
    versions: dict[str, str] = {}
    data: _Data = _Data(name="", fingerprint="")
    sha256: dict[str, str] = {}


class _Figure(TypedDict):
    step: str
    file: Annotated[str, Field(pattern=r"^figures/\w+\.(png|svg)$")]  # as `Drawing.file`
    caption: str
    alt: str


MANIFEST, _FIGURES = TypeAdapter(dict[str, _Entry]), TypeAdapter(dict[str, _Figure])


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of the run in ``folder`` by step; none without a file, LabError if damaged."""
    return _read(folder / "manifest.json", MANIFEST, "delete it and run again")


def read_figures(folder: Path) -> dict[str, dict[str, str]]:
    """What figures.json of the run in ``folder`` says of each figure; LabError if damaged."""
    return _read(folder / FIGURES, _FIGURES, "delete it and run the steps that draw again")


def _read(path: Path, kind: TypeAdapter, mend: str) -> dict[str, dict[str, Any]]:
    found = read_json(path) if path.is_file() else {}
    try:
        kind.validate_python(found)
    except ValidationError as error:
        where = ascii(".".join(map(str, error.errors()[0]["loc"])))[1:-1][:80] or "the whole file"
        raise LabError(f"{path} is damaged ({where}); {mend}.") from None
    return found


def checksums(folder: Path, step: str, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the files ``names`` that ``step`` wrote in ``folder``, where they are there."""
    return {name: found for name in names if (found := _checksum(folder, step, name))}


def written(folder: Path, step: str, record: str) -> dict[str, str]:
    """The checksums of all that ``step`` wrote in ``folder``; ``record`` is its own JSON file."""
    figures = [entry["file"] for entry in _own_figures(folder, step).values()]
    more = [p for pattern in _FILES.get(step, ()) for p in sorted(folder.glob(pattern))]
    names = [path.relative_to(folder).as_posix() for path in more]
    return checksums(folder, step, ["settings.yaml", record, *names, *figures, FIGURES])


def altered(folder: Path, step: str, noted: dict[str, str]) -> Iterator[str]:
    """The names in ``noted`` of which the file is gone, or not as ``step`` left it."""
    return (name for name in noted if _checksum(folder, step, name) != noted[name])


def check(folder: Path, step: str, noted: dict[str, str]) -> None:
    """LabError where ``altered`` finds a name."""
    if name := next(altered(folder, step, noted), None):
        how = "is not as" if _checksum(folder, step, name) else "is missing, unlike when"
        raise LabError(f"{folder / name} {how} {step} left it; put it back, or run {step} again.")


def _own_figures(folder: Path, step: str) -> dict[str, dict[str, str]]:
    return {name: entry for name, entry in read_figures(folder).items() if entry["step"] == step}


def _checksum(folder: Path, step: str, name: str) -> str | None:
    with suppress(OSError, ValueError, RuntimeError):  # no name, not to be read, links in a circle
        path = (folder / name).resolve()
        if path.is_relative_to(folder.resolve()) and path.is_file():
            figures = to_json(_own_figures(folder, step)) if name == FIGURES else None
            return hashlib.sha256(figures or path.read_bytes()).hexdigest()
    return None
