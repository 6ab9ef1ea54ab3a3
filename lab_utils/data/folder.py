"""Where images come from: CIFAR-10, the embedded shapes, or a folder; each decoded to uint8 arrays.

``read(name, split, settings)`` gives an ``Images``. Nothing here knows of validation or training.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lab_utils import LabError
from lab_utils.core.params import project_root
from lab_utils.core.settings import Settings
from lab_utils.data.images import Images

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"}


def _root(settings: Settings) -> Path:
    """The folder that ``data_folder`` names; a relative one is seen from the project's folder."""
    if not settings.data_folder:
        raise LabError("data=folder needs data_folder=PATH, which holds train/ and test/.")
    return project_root() / Path(settings.data_folder).expanduser()


def _folder(split: str, settings: Settings) -> Images:
    """Every image of ``<data_folder>/<split>/<class>/``, as squares of ``image_size`` pixels."""
    root = _root(settings)
    classes = {}
    for part in ("train", "test"):
        if not (root / part).is_dir():
            raise LabError(f"{root / part} is not a folder; data=folder expects train/ and test/.")
        classes[part] = tuple(sorted(x.name for x in (root / part).iterdir() if x.is_dir()))
    if classes["train"] != classes["test"] or len(classes["train"]) < 2:
        raise LabError(
            f"{root}: train/ has the classes {', '.join(classes['train']) or 'none'} and test/ has "
            f"{', '.join(classes['test']) or 'none'}; give both the same two or more class folders."
        )
    files = [
        (path, target)
        for target, name in enumerate(classes[split])
        for path in sorted((root / split / name).rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]

    def decode(item: tuple[Path, int]) -> np.ndarray | None:
        size = (settings.image_size, settings.image_size)
        try:
            with Image.open(item[0]) as image:
                square = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), size)
                return np.asarray(square).transpose(2, 0, 1)
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
        ):
            return None

    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
        decoded = list(pool.map(decode, files))
    good = [(x, target) for x, (_, target) in zip(decoded, files, strict=True) if x is not None]
    targets = np.array([target for _, target in good], dtype=np.int64)
    counts = np.bincount(targets, minlength=len(classes[split]))
    if (counts == 0).any():
        empty = classes[split][int(counts.argmin())]
        raise LabError(f"{root / split / empty} holds no readable image; add some or remove it.")
    unreadable = tuple(
        path.relative_to(root).as_posix()
        for x, (path, _) in zip(decoded, files, strict=True)
        if x is None
    )
    return Images(np.ascontiguousarray([x for x, _ in good]), targets, classes[split], unreadable)
