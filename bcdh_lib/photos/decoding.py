"""One image file, of whatever format and condition, to upright 8-bit RGB: used by a stated rule, or unfit for a stated reason.

* Its first frame is used, turned upright by its EXIF orientation, shrunk to the side asked for and never enlarged.
* Of 16 bits a channel the upper 8 are kept; 32-bit grey is stretched from its smallest to its largest value.
* Transparency lies over white. Grey, palette and CMYK become RGB, through the embedded colour profile where there is one.
* Size is judged by the header, before anything is decoded.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from bcdh_lib import params

# The formats that Pillow tells by their first bytes and decodes by itself. Others hold no photo (HDF5, MPEG), start another
# program (EPS) or take any file for theirs (TGA).
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM", "PSD", "PCX", "QOI", "SGI")

# The transposition that undoes each EXIF orientation; the last four exchange width and height.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unfit(Exception):
    """A file that is no photo of the study: Unfit(reason, detail), the reason one of a few stable words, the detail one line."""


@dataclass(frozen=True)
class Picture:
    """A decoded file."""

    rgb: Image.Image  # upright, no side longer than asked for
    width: int  # px, upright, as taken
    height: int
    exif: bytes  # the fields from which COLMAP guesses the focal length
    as_in_file: bool  # the file is itself a plain JPEG of these pixels

    def save(self, copy: Path | BinaryIO) -> None:
        """Write the copy that the study keeps where the file itself cannot be it."""
        self.rgb.save(copy, "JPEG", quality=95, exif=self.exif, comment=b"")

    def as_kept(self) -> Image.Image:
        """The pixels of the copy that the study keeps."""
        if self.as_in_file:
            return self.rgb
        copy = io.BytesIO()
        self.save(copy)
        return Image.open(copy).convert("RGB")


def prepare_process() -> None:
    """Let Pillow read HEIF, and keep its remarks on odd files off the screen: each file's outcome says what matters."""
    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # read_header holds photos.max_megapixels against the header instead
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def read_header(content: BinaryIO, limits: params.Photos) -> Image.Image:
    """The image, nothing of it decoded, its size within the limits. Raises Unfit where it is none or exceeds them."""
    try:
        image = Image.open(content, formats=FORMATS)
    except UnidentifiedImageError:
        content.seek(0)
        beginning = content.read(16)
        alike = [name for name in FORMATS if Image.OPEN[name][1](beginning) is True]  # type: ignore[misc]
        if alike:
            raise Unfit("not decodable", f"{alike[0]} header that is cut, corrupt or of 0 pixels") from None
        raise Unfit("not an image", "begins like none of the formats read here") from None
    except Exception as error:  # whatever Pillow's readers stumble over in a stranger's file
        raise Unfit("not decodable", _line(error)) from None
    width, height = image.size
    size = f"{width} x {height} px"
    if width * height > limits.max_megapixels * 1e6:
        raise Unfit("too large", f"{size}; photos.max_megapixels is {limits.max_megapixels:g}")
    if min(width, height) < limits.min_side:
        raise Unfit("too small", f"{size}; photos.min_side is {limits.min_side}")
    return image


def decode(image: Image.Image, max_side: int) -> Picture:
    """The image upright in RGB, no side longer than `max_side` px. Raises Unfit where it cannot be decoded to its end."""
    width, height = image.size
    try:
        # A JPEG decodes straight to a half, a quarter or an eighth of its size, here to twice what we keep or more.
        scale = 2 * max_side / max(width, height)
        image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))
        with contextlib.suppress(Exception):  # a broken EXIF block costs the rotation and the focal length, not the photo
            image.getexif()
        image.load()
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        plain = image.format == "JPEG" and image.mode == "RGB" and turn is None and "icc_profile" not in image.info
        small = _flat(image)
        small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        rgb = _rgb(small, image.info.get("icc_profile"))
    except Exception as error:  # as above
        raise Unfit("not decodable", _line(error)) from None
    if turn is not None:
        rgb = rgb.transpose(turn)
    if turn in list(UPRIGHT.values())[-4:]:
        width, height = height, width
    return Picture(rgb, width, height, _focal_exif(image), plain and max(width, height) <= max_side)


def _flat(image: Image.Image) -> Image.Image:
    """The image in 8 bits and without transparency, as grey, RGB or CMYK."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        return Image.fromarray(np.rint(255 * (values - values.min()) / (np.ptp(values) or 1)).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB, through its colour profile where that is readable and fits the image."""
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            assert converted is not None
            return converted
    return image.convert("RGB")


def _focal_exif(image: Image.Image) -> bytes:
    """The EXIF fields from which COLMAP guesses the focal length, those that are there and make sense."""
    kept = Image.Exif()
    fields: dict[int, Any] = {}
    with contextlib.suppress(Exception):  # a broken EXIF block
        camera = image.getexif()
        kept.update({tag: camera[tag] for tag in (ExifTags.Base.Make, ExifTags.Base.Model) if isinstance(camera.get(tag), str)})
        fields = camera.get_ifd(ExifTags.IFD.Exif)
    for tag in (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm):
        with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
            if 0 < float(fields.get(tag, 0)) < 1e4:
                kept.get_ifd(ExifTags.IFD.Exif)[tag] = fields[tag]
    return kept.tobytes() if kept or kept.get_ifd(ExifTags.IFD.Exif) else b""


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
