"""Strangers' bytes to pictures, and pictures to what a page can show."""

from base64 import b64encode
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from lab.serve.limits import Limits, Refused
from lab_utils.deployment.pictures import FORMATS


def decoded(data: bytes, name: str, limits: Limits) -> Image.Image:
    """The first picture in ``data``; its content decides what it is, and not its ``name``.

    Raises Refused: 415 for what is not one of FORMATS, 422 for one that is damaged or has too many
    pixels, of which none is decoded.
    """
    if not data:
        raise Refused(422, f"{name} is empty.")
    try:
        picture = Image.open(BytesIO(data), formats=FORMATS)
        if picture.width * picture.height > limits.pixels:
            raise Image.DecompressionBombError
        picture.load()
    except UnidentifiedImageError:
        known = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]}"
        raise Refused(415, f"{name} is not a picture; {known} are read here.") from None
    except Image.DecompressionBombError:
        most = f"{limits.pixels / 1e6:g} million pixels"
        raise Refused(422, f"{name} has more than {most}; make it smaller.") from None
    except Exception as error:  # of a damaged file Pillow raises nearly everything
        kind = type(error).__name__
        raise Refused(422, f"{name} is damaged ({kind}); save it anew.") from None
    return picture


def png(picture: Image.Image) -> bytes:
    """The content of a PNG file that shows ``picture``."""
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def data_url(picture: Image.Image) -> str:
    """``picture`` as an address that holds it, for the ``src`` of an ``<img>``."""
    return f"data:image/png;base64,{b64encode(png(picture)).decode()}"
