"""Whole files or none: a process killed at any moment leaves the old file or the new one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
import json
import os
from pathlib import Path
import time
from typing import Any

from filelock import FileLock, Timeout
from pydantic_core import to_json
import yaml

from lab_utils import LabError


def write_atomic(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a temporary file beside ``path``, flush it, rename it over ``path``.

    Raises LabError where the folder cannot be written or the disk is full.
    """
    # The suffix stays last: savefig and torch choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # a link of that name would be followed
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch.save raises the second on a full disk
        reason = getattr(error, "strerror", None) or error
        mend = "close what has it open, make room, or choose another folder with LAB_RUNS_DIR"
        raise LabError(f"Cannot write {path}: {reason}; {mend}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _replace(temporary: Path, path: Path) -> None:
    """Rename; on Windows a scanner may hold the target for a moment, so try for two seconds."""
    for _ in range(20 if os.name == "nt" else 0):
        with suppress(PermissionError):
            temporary.replace(path)
            return
        time.sleep(0.1)
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_atomic(path, lambda file: file.write_text(text, encoding="utf-8", newline="\n"))


def write_json(path: Path, data: Any) -> None:
    """Write ``data`` as JSON, atomically; NaN and infinity become null.

    NumPy and torch values become numbers and lists, dataclasses objects.
    """
    text = to_json(data, indent=1, inf_nan_mode="null", fallback=lambda value: value.tolist())
    write_text(path, text.decode() + "\n")


def read_json(path: Path) -> Any:
    """The JSON file ``path``; LabError if it is missing or damaged."""
    try:
        if path.is_file():  # and no pipe, which would be waited for
            return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LabError(f"{path} cannot be read ({error}); delete it and run again.") from None
    raise LabError(f"{path} is missing; run the notebook that writes it.")


class _YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # in C: a tenth of the time
    """Plain values alone, and no key twice: of two the last would win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.YAMLError(f"{twice!r} is there twice")
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """The value that ``text`` is in YAML; ValueError for whatever is wrong with it."""
    try:
        return yaml.load(text, Loader=_YamlLoader)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


@contextmanager
def one_training(folder: Path) -> Iterator[None]:
    """Be the one that trains in the run folder ``folder``; LabError while another process does.

    The system gives the lock back when the process ends, however that is.
    """
    path = folder / "checkpoints" / ".lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LabError(
            f"Run {folder.name!r} is being trained by another notebook or command; wait until it "
            "has finished, or give this run another name."
        ) from None
    try:
        yield
    finally:
        lock.release()
