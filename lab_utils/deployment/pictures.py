"""Pictures of any kind as what the network sees, or a sentence that says why they cannot be."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
import torch
from torch import Tensor

from lab_utils import LabError
from lab_utils.data.images import MAX_PIXELS, eight_bits

Picture = str | os.PathLike | bytes | Image.Image | np.ndarray | Tensor
# What Pillow opens besides needs other programs (EPS), or is no picture that people hand over.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def prepared(picture: Picture, size: int) -> Image.Image:
    """The picture as the network sees it: RGB, its centred square resized to ``size`` pixels."""
    return ImageOps.fit(to_rgb(picture), (size, size))


def pixels_of(images: list[Image.Image]) -> np.ndarray:
    """RGB images of one size as float32 (B, 3, S, S), fractions of 1: what the model takes."""
    stacked = np.stack([np.asarray(image) for image in images]).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, dtype=np.float32) / 255


def to_rgb(picture: Picture) -> Image.Image:
    """Any picture as an upright 8-bit RGB image, transparent parts white.

    Files and bytes are of one of FORMATS; of an animation the first frame counts. Arrays are
    (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), tensors have the channels first; both are uint8,
    uint16 or floats in 0..1. Raises LabError for everything else.
    """
    if isinstance(picture, str | os.PathLike):
        path = Path(picture)
        try:
            return _decoded(path.read_bytes(), path.name)
        except FileNotFoundError:
            raise LabError(f"There is no file {picture}; check the path.") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LabError(f"{picture} cannot be read ({reason}); give another file.") from None
    if isinstance(picture, bytes | bytearray | memoryview):
        return _decoded(bytes(picture), "The picture")
    if isinstance(picture, Image.Image):
        return _converted(picture, "The image")
    if isinstance(picture, Tensor):
        picture = picture.detach().cpu()
        picture = picture.float() if picture.is_floating_point() else picture
        picture = (picture.movedim(0, -1) if picture.ndim == 3 else picture).numpy()
    return _converted(_from_array(picture), "The array")


def _decoded(content: bytes, name: str) -> Image.Image:
    if not content:
        raise LabError(f"{name} is empty; give a picture.")
    with _refusing(name), Image.open(BytesIO(content), formats=FORMATS) as opened:
        return _converted(opened, name)


def _converted(image: Image.Image, name: str) -> Image.Image:
    width, height = image.size
    if width * height > MAX_PIXELS:  # known from the header, before anything is decoded
        raise _too_large(name)
    if not width * height:
        raise LabError(f"{name} has {width} by {height} pixels; give one that has some.")
    with _refusing(name):
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith(("I", "F")):
            image = eight_bits(image)
        if not image.has_transparency_data:
            return image.convert("RGB")
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """What Pillow raises of a file that is no image, or a damaged one, as LabError."""
    try:
        yield
    except LabError:
        raise
    except Image.DecompressionBombError:
        raise _too_large(name) from None
    except UnidentifiedImageError:
        kinds = ", ".join(FORMATS)
        raise LabError(f"{name} is not an image; give one of the kinds {kinds}.") from None
    except Exception as error:  # its decoders raise a dozen kinds
        words = " ".join(str(error).split()) or type(error).__name__
        raise LabError(f"{name} is damaged or cut off ({words}); give a whole image.") from None


def _from_array(array: np.ndarray) -> Image.Image:
    if not isinstance(array, np.ndarray):
        kind = type(array).__name__
        wanted = "a path, bytes, a PIL image, an array or a tensor"
        raise LabError(f"{kind} is not an image; give {wanted}.")
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))) or not array.size:
        raise LabError(
            f"An image of shape {array.shape}, channels last, cannot be used; give (H, W) or 1, 3 "
            "or 4 channels, last in an array and first in a tensor."
        )
    if np.issubdtype(array.dtype, np.floating):
        if not ((array >= 0) & (array <= 1)).all():
            raise LabError("A float image holds values outside 0..1; divide bytes by 255 first.")
        array = (array * 255).round().astype(np.uint8)
    elif array.dtype == np.uint16:
        array = (array / 257).round().astype(np.uint8)
    if array.dtype != np.uint8:
        wanted = "give uint8, uint16, or floats in 0..1"
        raise LabError(f"An image of {array.dtype} cannot be used; {wanted}.")
    return Image.fromarray(array.squeeze(2) if array.shape[2:] == (1,) else array)


def _too_large(name: str) -> LabError:
    limit = f"{MAX_PIXELS / 1e6:.0f} million"
    return LabError(f"{name} has more than {limit} pixels; give a smaller one.")


def jpeg(images: Tensor, quality: int) -> Tensor:
    """``images`` (N, 3, H, W) uint8 after JPEG compression by Pillow: torchvision's is deprecated.

    ``quality`` goes from 100 (best) down; 75 is what most programs save with.
    """
    decoded = []
    for image in images.permute(0, 2, 3, 1).numpy():
        file = BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)))
    return torch.from_numpy(np.stack(decoded)).permute(0, 3, 1, 2).contiguous()
