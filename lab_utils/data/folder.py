"""A student's own images: the files of ``train/<class>/`` and ``test/<class>/``, as squares."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
import hashlib
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

from lab_utils import LabError
from lab_utils.core.params import expanded, project_root
from lab_utils.core.settings import Settings
from lab_utils.core.show import printable
from lab_utils.data.cache import keep, read_kept
from lab_utils.data.images import MAX_PIXELS, Images, eight_bits

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"}


def root(settings: Settings) -> Path:
    """The folder that ``data_folder`` names; a relative one is seen from the project's folder."""
    return project_root() / expanded(settings.data_folder or "")


def image_files(folder: Path) -> list[Path]:
    """The files below ``folder``, at any depth, that are images by their suffix; sorted.

    Not what is hidden, such as Jupyter's ``.ipynb_checkpoints``.
    """
    found = (path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    return sorted(path for path in found if not _hidden(path.relative_to(folder)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def read(split: str, settings: Settings) -> Images:
    """Every image of ``<data_folder>/<split>/<class>/``, as squares of ``image_size`` pixels.

    What a class name has that cannot be printed, such as a line break, is written as Python does.
    Decoded once and kept in ``data/``, one file for each folder and split, until a file of it
    changes. Raises LabError where classes are missing or have no readable image.
    """
    top, size = root(settings), settings.image_size
    classes = _classes(top)
    shown = tuple(map(printable, classes))
    if not all(name.isascii() for name in shown):
        from lab_utils.setup.fonts import cover

        cover(shown)
    files = [path for name in classes for path in image_files(top / split / name)]
    paths = [path.relative_to(top).as_posix() for path in files]
    states, this_module = [_state(path) for path in files], Path(__file__).read_bytes()
    name = f"folder-{_digest(top.resolve())}-{split}"
    key = _digest(paths, states, classes, size, PIL.__version__, this_module)
    if kept := read_kept(name, key):
        return kept
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
        decoded = dict(zip(paths, pool.map(lambda file: _decode(file, size), files), strict=True))
    errors = {path: x for path, x in decoded.items() if isinstance(x, Exception)}
    good = [path for path in paths if path not in errors]
    targets = np.array([classes.index(path.split("/")[1]) for path in good], dtype=np.int64)
    if empty := set(range(len(classes))) - set(targets):
        folder = top / split / classes[min(empty)]
        raise LabError(f"{folder} holds no readable image; add some or remove it.")
    pixels = np.ascontiguousarray([decoded[path] for path in good])
    images = Images(pixels, targets, shown, tuple(errors))
    # A file that the system refuses, because it is locked or remote, may be readable next time.
    if not any(getattr(error, "errno", None) for error in errors.values()):
        keep(name, key, images)
    return images


def _classes(top: Path) -> tuple[str, ...]:
    """The class folders of both splits; LabError unless they are the same two or more."""
    classes = []
    for part in (top / "train", top / "test"):
        if not part.is_dir():
            raise LabError(f"{part} is not a folder; data=folder expects train/ and test/.")
        places = (place for place in part.iterdir() if place.is_dir())
        classes.append(tuple(sorted(p.name for p in places if not p.name.startswith("."))))
    if classes[0] != classes[1] or len(classes[0]) < 2:
        train, test = (", ".join(names) or "none" for names in classes)
        found = f"train/ with {train} and test/ with {test}"
        raise LabError(f"{top} has {found}; give both the same two or more class folders.")
    return classes[0]


def _state(path: Path) -> tuple[int, ...]:
    """A file's size, and the times when its content and its entry in the folder last changed."""
    with suppress(OSError):
        found = path.stat()
        return found.st_size, found.st_mtime_ns, found.st_ctime_ns
    return ()  # a link to nowhere


def _digest(*values: object) -> str:
    return hashlib.sha256(ascii(values).encode()).hexdigest()[:16]


def _decode(path: Path, size: int) -> np.ndarray | Exception:
    """The image as (3, size, size) uint8, or why it cannot be read."""
    if not path.is_file():
        return FileNotFoundError(f"{path} is no file")  # to read a pipe would wait for ever
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                return ValueError(f"{path} has more than {MAX_PIXELS:,} pixels")
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                upright = eight_bits(upright)
            square = ImageOps.fit(upright.convert("RGB"), (size, size))
            return np.asarray(square).transpose(2, 0, 1)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen kinds of a damaged file
        return error
