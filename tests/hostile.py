"""Damaged and hostile picture files, the same for the same number."""

from io import BytesIO
import struct
import zlib

import numpy as np
from PIL import Image

KINDS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")


def _file(picture, kind, **options):
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _png(width, height, data, *chunks):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), *chunks, _chunk(b"IDAT", zlib.compress(data))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + _chunk(b"IEND", b"")


def _picture(rng, mode="RGB"):
    shape = (*rng.integers(1, 90, 2), 3)
    return Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).convert(mode)


def _truncated(rng, kind):
    content = _file(_picture(rng), kind)
    return content[: rng.integers(0, len(content))]


def _flipped(rng, kind):
    content = np.frombuffer(_file(_picture(rng), kind), np.uint8).copy()
    places = rng.integers(0, len(content), rng.integers(1, 20))
    content[places] ^= rng.integers(1, 256, len(places), dtype=np.uint8)
    return content.tobytes()


def _bad_header(rng, kind):
    content = np.frombuffer(_file(_picture(rng), kind), np.uint8).copy()
    content[4:60] = rng.integers(0, 256, 56, dtype=np.uint8)[: len(content[4:60])]
    return content.tobytes()


def _bomb(rng, kind):
    small = zlib.compress(bytes(1000))
    choices = [
        lambda: _png(2**31 - 1, 2**31 - 1, bytes(9)),
        lambda: _png(30_000, 30_000, bytes(100_000)),
        lambda: _file(Image.new("1", (6000, 6000)), "PNG"),
        lambda: b"GIF89a" + b"\xff" * 4 + _file(_picture(rng), "GIF")[10:],
        lambda: _png(4, 4, bytes(20), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))),
        lambda: _png(4, 4, bytes(20), _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(5_000_000)))),
        lambda: _png(5000, 5000, small),  # far fewer bytes than pixels
        lambda: b"BM" + struct.pack("<IHHIIiiHH", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24),
        lambda: b"II*\0\x08\0\0\0\xff\xff" + rng.bytes(4000),  # 65,535 tags
    ]
    return choices[rng.integers(len(choices))]()


def _odd_mode(rng, kind):
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGBA", "I;16"),
        "TIFF": ("CMYK", "YCbCr", "LAB", "F", "I"),
    }
    kind = "PNG" if rng.random() < 0.5 else "TIFF"
    mode = modes[kind][rng.integers(len(modes[kind]))]
    if mode in ("I;16", "I", "F"):
        dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        values = (rng.random((9, 9)) * 70_000 - 5000).astype(dtype)
        if mode == "F" and rng.random() < 0.5:
            values[0, 0] = np.nan
        return _file(Image.fromarray(values), kind)
    return _file(_picture(rng, mode), kind)


def _animated(rng, kind):
    noise = rng.integers(0, 256, (3, 20, 20), dtype=np.uint8)
    frames = [Image.fromarray(frame).convert("P") for frame in noise]
    kind = ("GIF", "WEBP", "PNG", "TIFF")[rng.integers(4)]
    content = _file(frames[0], kind, save_all=True, append_images=frames[1:])
    return content[: len(content) * 2 // 3] if rng.random() < 0.5 else content


def _polyglot(rng, kind):
    first, second = _file(_picture(rng), kind), _file(_picture(rng), "PNG")
    scripts = (
        b"<script>alert(1)</script>",
        b"%PDF-1.7\n",
        b"PK\x03\x04",
        b"#!/bin/sh\nexit\n",
        second,
    )
    other = scripts[rng.integers(len(scripts))]
    return other + first if rng.random() < 0.5 else first + other


def _nothing(rng, kind):
    return rng.bytes(rng.integers(0, 200)) if rng.random() < 0.7 else b""


def _exif(rng, kind):
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(0, 100))
    exif[0x010E] = "x" * int(rng.integers(0, 60_000))
    content = _file(_picture(rng), "JPEG", exif=exif)
    damage = np.frombuffer(content, np.uint8).copy()
    damage[20:40] = rng.integers(0, 256, 20, dtype=np.uint8)
    return damage.tobytes()


WAYS = (
    _truncated, _flipped, _bad_header, _bomb, _odd_mode, _animated, _polyglot, _nothing, _exif,
)  # fmt: skip


def hostile(number):
    """The file ``number``: the ways and the kinds take turns."""
    rng = np.random.default_rng(number)
    return WAYS[number % len(WAYS)](rng, KINDS[number // len(WAYS) % len(KINDS)])
