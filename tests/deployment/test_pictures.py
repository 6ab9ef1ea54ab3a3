"""Any picture becomes the same upright RGB image, or is refused in a sentence."""

from io import BytesIO
import struct
import zlib

import numpy as np
from PIL import Image
import pytest
import torch

from lab_utils import LabError
from lab_utils.deployment import pictures
from lab_utils.deployment.pictures import jpeg, prepared, to_rgb


def encoded(image, kind, **options):
    """The bytes of a file of ``image``."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_the_same_picture_is_the_same_image_in_every_form(picture, tmp_path):
    image = Image.fromarray(picture)
    path = tmp_path / "picture.png"
    image.save(path)
    tensor = torch.from_numpy(picture.copy()).permute(2, 0, 1)
    forms = {
        "path": path, "text": str(path), "bytes": path.read_bytes(), "opened": Image.open(path),
        "array": picture, "floats": picture / 255, "float32": (picture / 255).astype("f4"),
        "16 bits": picture.astype(np.uint16) * 257, "tensor": tensor, "fractions": tensor / 255,
        "half": torch.from_numpy(picture / 255).permute(2, 0, 1), "opaque": image.convert("RGBA"),
        "four channels": np.dstack([picture, np.full((80, 60), 255, np.uint8)]),
        "bmp": encoded(image, "BMP"), "tiff": encoded(image, "TIFF"), "ppm": encoded(image, "PPM"),
        "lossless": encoded(image, "WEBP", lossless=True),
    }  # fmt: skip
    for kind, form in forms.items():
        np.testing.assert_array_equal(np.asarray(to_rgb(form)), picture, err_msg=kind)


def test_a_grey_picture_is_grey_in_colour(picture):
    grey = picture[..., 0].copy()
    image = Image.fromarray(grey)
    forms = [
        grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None], image,
        encoded(image, "PNG"), Image.fromarray(grey.astype(np.uint16) * 257),
        encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        encoded(Image.fromarray(grey.astype(np.uint16) * 257), "TIFF"),
        Image.fromarray(grey.astype(np.int32) * 257), Image.fromarray((grey / 255).astype("f4")),
    ]  # fmt: skip
    for form in forms:
        np.testing.assert_array_equal(np.asarray(to_rgb(form)), np.dstack([grey] * 3))


def test_what_is_transparent_is_white():
    half = np.zeros((4, 4, 4), np.uint8)
    half[:, 2:, 3] = 255  # the right half is black, the left one clear
    expected = np.dstack([np.where(np.arange(4) < 2, 255, 0)[None].repeat(4, 0)] * 3)
    image = Image.fromarray(half)
    palette = image.quantize(4)
    grey = Image.merge("LA", [Image.new("L", (4, 4)), image.getchannel("A")])
    for form in (half, image, encoded(image, "PNG"), encoded(palette, "PNG"), grey):
        np.testing.assert_array_equal(np.asarray(to_rgb(form)), expected)


def test_palette_one_bit_and_print_colours_are_taken(picture):
    image = Image.fromarray(picture)
    for form in (image.quantize(64), image.convert("CMYK"), image.convert("HSV"),
                 image.convert("YCbCr"), encoded(image.convert("CMYK"), "JPEG")):  # fmt: skip
        found = to_rgb(form)
        assert (found.mode, found.size) == ("RGB", (60, 80))
        assert np.abs(np.asarray(found, float) - picture).mean() < 12
    black_and_white = np.asarray(to_rgb(image.convert("1")))
    assert set(np.unique(black_and_white)) == {0, 255}


def test_of_an_animation_the_first_frame_is_taken(picture):
    first, second = Image.fromarray(picture), Image.fromarray(255 - picture)
    for kind in ("GIF", "WEBP", "PNG"):
        file = encoded(first, kind, save_all=True, append_images=[second], lossless=True)
        assert Image.open(BytesIO(file)).n_frames == 2
        assert np.abs(np.asarray(to_rgb(file), float) - picture).mean() < 12


def test_a_photograph_taken_upright_is_seen_upright(picture):
    turned = Image.fromarray(np.rot90(picture))
    exif = turned.getexif()
    exif[0x0112] = 6  # "rotate by 90 degrees clockwise to show"
    for form in (turned, encoded(turned, "PNG", exif=exif), encoded(turned, "JPEG", exif=exif)):
        assert np.abs(np.asarray(to_rgb(form), float) - picture).mean() < 4


@pytest.mark.parametrize("shape", [(32, 32, 3), (97, 150, 3), (1, 1, 3), (5, 400, 3), (33, 31)])
def test_pictures_of_any_size_become_the_size_of_the_network(shape):
    image = prepared(np.zeros(shape, np.uint8), 24)
    assert (image.mode, image.size) == ("RGB", (24, 24))


def test_the_centre_of_a_wide_picture_is_seen():
    wide = np.zeros((60, 180, 3), np.uint8)
    wide[:, 60:120] = 200
    np.testing.assert_allclose(np.asarray(prepared(wide, 30)), 200, atol=15)  # bicubic edges


@pytest.mark.parametrize(
    ("nonsense", "sentence"),
    [
        (np.zeros((32, 32, 2), np.uint8), "shape"),
        (np.zeros((3, 32, 32), np.uint8), "shape"),
        (np.zeros((0, 32, 3), np.uint8), "shape"),
        (np.zeros((2, 32, 32, 3), np.uint8), "shape"),
        (torch.zeros(32, 32, 3, dtype=torch.uint8), "shape"),
        (np.zeros((32, 32, 3), np.int64), "int64"),
        (np.zeros((32, 32), bool), "bool"),
        (np.full((32, 32, 3), 255.0), "outside 0..1"),
        (np.full((32, 32, 3), np.nan), "outside 0..1"),
        (Image.fromarray(np.full((4, 4), 70_000, np.int32)), "outside 0..65,535"),
        (Image.new("RGB", (0, 4)), "0 by 4 pixels"),
        ("no/such/file.png", "no file"),
        ("tests", "cannot be read"),
        ("nul\0", "cannot be read"),
        (7, "int is not an image"),
        (None, "NoneType is not an image"),
        (b"", "is empty"),
        (b"not an image", "not an image; give one of the kinds AVIF, BMP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(nonsense, sentence):
    with pytest.raises(LabError, match=sentence) as caught:
        to_rgb(nonsense)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_a_file_that_is_cut_off_is_refused_wherever_it_is_cut(picture, kind):
    whole = encoded(Image.fromarray(picture), kind)
    refused = 0
    for end in range(0, len(whole), max(1, len(whole) // 40)):
        try:
            to_rgb(whole[:end])
        except LabError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
            refused += 1
    assert refused >= 38  # a file may end after its last pixel and before its last byte


def test_a_damaged_file_gives_an_image_or_a_sentence(picture):
    rng = np.random.default_rng(0)
    refused = 0
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP"):
        whole = np.frombuffer(encoded(Image.fromarray(picture), kind), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            places = rng.integers(0, len(whole), 20)
            damaged[places] = rng.integers(0, 256, 20)
            try:
                assert to_rgb(damaged.tobytes()).mode == "RGB"
            except LabError:
                refused += 1
    assert refused > 60


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(recwarn):
    side = 30_000  # 2.7 GB of RGB in some hundred bytes
    for width, height in ((side, side), (10_000, 6_000)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        data = chunk(b"IDAT", zlib.compress(bytes(1000)))
        file = b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")
        with pytest.raises(LabError, match=r"The picture has more than 50 million pixels"):
            to_rgb(file)
    assert pictures.MAX_PIXELS < Image.MAX_IMAGE_PIXELS


def test_compressed_images_are_near_the_original_and_nearer_at_a_higher_quality(picture):
    images = torch.from_numpy(picture[:60].copy()).permute(2, 0, 1)[None]
    off = [(jpeg(images, q).float() - images).abs().mean().item() for q in (5, 75, 95)]
    assert off == sorted(off, reverse=True) and 0 < off[2] < off[0] < 30
    assert jpeg(images, 75).shape == images.shape and jpeg(images, 75).dtype == torch.uint8
