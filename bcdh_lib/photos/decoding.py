"""An image file in any format and condition becomes upright 8-bit RGB by the rules below, or is unfit for a stated reason.

* The first frame is used, turned upright by its EXIF orientation, shrunk to the requested side and never enlarged.
* 16-bit channels of 10, 12, 14 or 16 used bits are divided by the power of two that leaves 8 bits; 32-bit grey is stretched
  from its smallest to its largest value.
* Transparent parts show white. Grey, palette and CMYK become RGB, through the embedded colour profile if there is one.
* The size is checked before anything is decoded. A baseline JPEG that decodes at an eighth of its sides may be 8 times larger.
* A JPEG that lacks its end is used if at most 2 % of its rows are missing, or if a progressive one is cut in its last scan.
* Raw files are left out: what Pillow reads of them is a thumbnail.
"""

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
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from bcdh_lib import params
from bcdh_lib.core.errors import one_line

# Formats that Pillow recognises by their first bytes and decodes by itself. Of the others, some hold no photo (HDF5, MPEG), EPS
# starts another program, and TGA accepts any file.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM", "PSD", "PCX", "QOI", "SGI")

# The transpositions that undo EXIF's orientations 2 to 8; the last four exchange width and height.
UPRIGHT = [
    *(Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM),
    *(Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90),
]
RAW_STARTS = (
    *(b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"FOVb"),  # Olympus, Panasonic, Fujifilm, Sigma
    *(b"\0MRM", b"II\x1a\0\0\0HEAPCCDR"),  # Minolta, Canon
)
RAW_PHOTOMETRIC = (32803, 34892)  # TIFF's photometric interpretation of sensor data: colour filter array, linear raw
LOWER_BYTES = {f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA") for order, other in ("BL", "LB", "NB")}
"""The raw mode in which Pillow reads the lower bytes of 16-bit channels, by the one in which it reads the upper ones."""
DNG_VERSION, NEW_SUBFILE_TYPE, PHOTOMETRIC, SUB_IFDS = 50706, 254, 262, 330  # TIFF tags
EIGHTH = 8  # how much larger a JPEG may be that decodes at an eighth of its sides: its data are still read in full
MISSING_ROWS = 0.02  # share of a cut JPEG's rows that may be missing
END_OF_JPEG = b"\xff\xd9"


class Unfit(Exception):
    """A file that is no photo of the collection: Unfit(reason, detail); the reason is one of a few, the detail one line."""


@dataclass(frozen=True)
class Picture:
    """A decoded file."""

    rgb: Image.Image  # upright, no side longer than asked for
    width: int  # px, upright, as recorded
    height: int
    exif: bytes  # the fields from which COLMAP guesses the focal length
    as_in_file: bool  # the file itself is a plain JPEG of these pixels, so it is its own copy
    missing_rows: int = 0  # px, at the bottom of a JPEG that is cut

    def save(self, copy: Path | BinaryIO) -> None:
        """Write the study's copy of a photo whose file is not its own copy."""
        self.rgb.save(copy, "JPEG", quality=95, exif=self.exif, comment=b"")

    def as_copied(self) -> Image.Image:
        """The pixels of the study's copy."""
        if self.as_in_file:
            return self.rgb
        copy = io.BytesIO()
        self.save(copy)
        return Image.open(copy).convert("RGB")


def prepare_process() -> None:
    """Once in each process that decodes: Pillow reads HEIF, and prints no warnings, since each file's outcome is recorded."""
    pillow_heif.register_heif_opener()
    Image.MAX_IMAGE_PIXELS = None  # read_header checks photos.max_megapixels instead
    warnings.simplefilter("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


def read_header(content: BinaryIO, limits: params.Photos) -> Image.Image:
    """The image, not yet decoded, if its size is within the limits; else raises Unfit."""
    if _is_raw(content):
        raise Unfit("raw file", "sensor data of a camera; export it as JPEG")
    content.seek(0)
    try:
        image = Image.open(content, formats=FORMATS)
    except UnidentifiedImageError:
        content.seek(0)
        beginning = content.read(16)
        similar = [name for name in FORMATS if Image.OPEN[name][1](beginning) is True]  # type: ignore[misc]
        if similar:
            raise Unfit("not decodable", f"{similar[0]} header that is cut, corrupt or of 0 pixels") from None
        raise Unfit("not an image", "no supported format begins like this") from None
    except Exception as error:  # Pillow's readers raise anything on a damaged file
        raise _not_decodable(error) from None
    width, height = image.size
    size = f"{width} x {height} px"
    baseline = isinstance(image, JpegImagePlugin.JpegImageFile) and not image.info.get("progressive")  # a few rows in memory
    reduced = baseline and max(image.size) >= 2 * EIGHTH * limits.max_side
    if width * height > limits.max_megapixels * 1e6 * (EIGHTH if reduced else 1):
        raise Unfit("too large", f"{size}; photos.max_megapixels is {limits.max_megapixels:g}")
    if min(width, height) < limits.min_side:
        raise Unfit("too small", f"{size}; photos.min_side is {limits.min_side}")
    return image


def decode(image: Image.Image, max_side: int) -> Picture:
    """The image upright in RGB, no side longer than `max_side` px. Raises Unfit if it cannot be decoded to its end."""
    width, height = image.size
    content, form = image.fp, image.format  # type: ignore[attr-defined]
    deep = form in ("PNG", "TIFF") and {_mode_and_more(tile)[0] for tile in image.tile} <= LOWER_BYTES.keys()  # type: ignore[attr-defined]
    try:
        # A JPEG can decode to a half, a quarter or an eighth of its sides; here to at least twice `max_side`.
        scale = 2 * max_side / max(width, height)
        reduced = math.ceil(width * scale), math.ceil(height * scale)
        image.draft(None, reduced)
        with contextlib.suppress(Exception):  # a broken EXIF block costs the rotation and the focal length, not the photo
            image.getexif()
        image, missing_rows = _load(image, reduced)
        if deep and min(high for _, high in image.getextrema()) < 2**6:  # type: ignore[misc]  # 14 bits or fewer are in use
            image.paste(_scaled(image, _lower_bytes(content, form)))
        turn = dict(enumerate(UPRIGHT, start=2)).get(image.getexif().get(ExifTags.Base.Orientation, 1))
        plain = image.format == "JPEG" and image.mode == "RGB" and turn is None and "icc_profile" not in image.info
        small = _flat(image)
        small.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        rgb = _rgb(small, image.info.get("icc_profile"))
    except Exception as error:  # as above
        raise _not_decodable(error) from None
    if turn is not None:
        rgb = rgb.transpose(turn)
    if turn in UPRIGHT[-4:]:
        width, height = height, width
    as_in_file = plain and not missing_rows and max(width, height) <= max_side
    return Picture(rgb, width, height, _focal_exif(image), as_in_file, missing_rows)


def _is_raw(content: BinaryIO) -> bool:
    """Whether this is a camera's raw file, by its first bytes or by the tags of its first TIFF directory."""
    beginning = content.read(16)
    if beginning.startswith(RAW_STARTS) or beginning[4:11] == b"ftypcrx" or beginning[8:10] == b"CR":
        return True
    if beginning[:4] not in (b"II*\0", b"MM\0*"):
        return False
    with contextlib.suppress(Exception):  # a damaged directory
        tags = TiffImagePlugin.ImageFileDirectory_v2(beginning[:8])
        content.seek(tags.next)
        tags.load(content)
        thumbnail = bool(tags.get(NEW_SUBFILE_TYPE, 0) & 1) and SUB_IFDS in tags
        return DNG_VERSION in tags or thumbnail or tags.get(PHOTOMETRIC) in RAW_PHOTOMETRIC
    return False


def _load(image: Image.Image, reduced: tuple[int, int]) -> tuple[Image.Image, int]:
    """The image with its pixels, and how many of its rows are missing (px). Raises what Pillow raises if that is too many."""
    content, height = image.fp, image.size[1]  # type: ignore[attr-defined]
    try:
        image.load()
        return image, 0
    except OSError:
        if image.format != "JPEG" or content is None:
            raise
        content.seek(0)
        cut = content.read()
        if image.info.get("progressive") and not _in_last_scan(cut):
            raise
        ended = Image.open(io.BytesIO(cut + END_OF_JPEG), formats=("JPEG",))
        full = ended.size[1]
        ended.draft(None, reduced)
        ended.load()
        grey = (np.asarray(ended.convert("RGB"))[:, -1] == 128).all(axis=1)  # what the decoder writes if nothing is left
        missing = full * int(np.argmin([*grey[::-1], False])) // height
        if missing > MISSING_ROWS * full:
            raise
        return ended, missing or 1


def _in_last_scan(jpeg: bytes) -> bool:
    """Whether a progressive JPEG is cut in the scan that refines the last bit of luminance: the loss is invisible."""
    scan = jpeg.rfind(b"\xff\xda") + 4
    spectrum = jpeg[scan + 3 : scan + 6]
    return jpeg[scan : scan + 1] == b"\1" and spectrum[1:2] == b"\x3f" and spectrum[2:3] == b"\x10"


def _flat(image: Image.Image) -> Image.Image:
    """The image in 8 bits and without transparency, as grey, RGB or CMYK."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
        return Image.fromarray(np.rint(255 * (values - values.min()) / (np.ptp(values) or 1)).astype(np.uint8))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _mode_and_more(tile: Any) -> tuple[Any, ...]:
    """How Pillow reads a tile: first its raw mode."""
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _lower_bytes(content: BinaryIO, form: str | None) -> Image.Image:
    """The lower bytes of 16-bit channels, of which Pillow keeps the upper ones."""
    content.seek(0)
    lower: Any = Image.open(content, formats=(str(form),))
    modes = [_mode_and_more(tile) for tile in lower.tile]
    lower.tile = [tile._replace(args=(LOWER_BYTES[mode], *more)) for tile, (mode, *more) in zip(lower.tile, modes, strict=True)]
    return lower


def _scaled(upper: Image.Image, lower: Image.Image) -> Image.Image:
    """16-bit colour in 8 bits; transparency, if there is any, is scaled to its own bits in use."""
    values = np.asarray(upper).astype(np.uint16) << 8 | np.asarray(lower)
    return Image.fromarray(np.concatenate([_eight_bits(values[..., :3]), _eight_bits(values[..., 3:])], axis=-1))


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """16-bit values divided by the power of two that leaves 8 of the bits in use."""
    used = max(int(values.max(initial=0)).bit_length(), 8)
    return (values >> (used + used % 2 - 8)).astype(np.uint8)


def _rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The image in sRGB, through its colour profile if that is readable and fits the image."""
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            assert converted is not None
            return converted
    return image.convert("RGB")


def _focal_exif(image: Image.Image) -> bytes:
    """The EXIF fields from which COLMAP guesses the focal length, if they are present and plausible."""
    kept = Image.Exif()
    with contextlib.suppress(Exception):  # a broken EXIF block
        camera = image.getexif()
        kept.update({tag: camera[tag] for tag in (ExifTags.Base.Make, ExifTags.Base.Model) if isinstance(camera.get(tag), str)})
        fields = camera.get_ifd(ExifTags.IFD.Exif)
        for tag in (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm):
            with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
                if 0 < float(fields.get(tag, 0)) < 1e4:
                    kept.get_ifd(ExifTags.IFD.Exif)[tag] = fields[tag]
    return kept.tobytes() if kept or kept.get_ifd(ExifTags.IFD.Exif) else b""


def _not_decodable(error: Exception) -> Unfit:
    return Unfit("not decodable", f"{type(error).__name__}: {one_line(error)}"[:200])
