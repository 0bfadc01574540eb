"""Image files in every form and condition: used as the stated rules say, or unfit for a stated reason, never an exception."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageFile, TiffImagePlugin

from bcdh_lib.photos.decoding import Picture, Unfit, decode, prepare_process, read_header

ORIENTATION = ExifTags.Base.Orientation

# What undoes each of EXIF's orientations: rows reversed, columns reversed, then rows and columns exchanged.
UPRIGHT = {1: "", 2: "x", 3: "xy", 4: "y", 5: "t", 6: "yt", 7: "xyt", 8: "xt"}


@pytest.fixture(autouse=True)
def prepared(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back after the test
    prepare_process()


@pytest.fixture
def limits(params):
    return params.photos


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Blurred noise: every pixel differs from its neighbours, and a lossy format keeps it nearly."""
    grain = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def outcome(content: bytes, limits, max_side: int = 640) -> Picture | str:
    """The picture, or the reason why there is none."""
    try:
        return decode(read_header(io.BytesIO(content), limits), max_side)
    except Unfit as unfit:
        reason, detail = unfit.args
        assert len(detail.splitlines()) == 1
        return reason


def used(content: bytes, limits, max_side: int = 640) -> Picture:
    picture = outcome(content, limits, max_side)
    assert isinstance(picture, Picture), picture
    assert picture.rgb.mode == "RGB"
    return picture


def colour(content: bytes, limits) -> tuple[int, int, int]:
    return tuple(np.asarray(used(content, limits).rgb)[40, 50].tolist())


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (0, 51), (204, 204, 204)),  # a fifth of black over white
        ("RGB", (10, 200, 30), (10, 200, 30)),
        ("RGBA", (255, 0, 0, 102), (255, 153, 153)),  # two fifths of red over white
        ("I;16", 0x4DFF, (77, 77, 77)),  # the upper byte
        ("I;16B", 0x4DFF, (77, 77, 77)),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_modes(mode, value, expected, form, limits):
    assert colour(saved(Image.new(mode, (100, 80), value), form), limits) == expected


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_grey_is_stretched(mode, limits):
    values = np.full((80, 100), -50, np.float32 if mode == "F" else np.int32)
    values[:, 50:] = 350
    values[40, 50] = 150
    picture = used(saved(Image.fromarray(values), "TIFF"), limits)
    assert [picture.rgb.getpixel(place) for place in ((0, 0), (99, 0), (50, 40))] == [(0,) * 3, (255,) * 3, (128,) * 3]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_colour_is_scaled_to_the_bits_in_use(bits, limits):
    """In PNG and TIFF, and opaque if transparency uses the same bits or all 16."""
    values = [value >> (16 - bits) for value in (0x10FF, 0x2000, 0xF0AB)]
    contents = [png(100, 80, 16, zlib.compress((b"\0" + struct.pack(">3H", *values) * 100) * 80))]
    for opaque in (2**bits - 1, 2**16 - 1):
        contents.append(png(100, 80, 16, zlib.compress((b"\0" + struct.pack(">4H", *values, opaque) * 100) * 80), kind=6))
    halves = saved(Image.fromarray(np.tile(np.array(values, "<u2"), 8000).view(np.uint8).reshape(80, 200, 3)), "TIFF")
    for tag, eight, sixteen in (("<HHLL", (256, 4, 1, 200), (256, 4, 1, 100)), ("<3H", (8, 8, 8), (16, 16, 16))):
        halves = halves.replace(struct.pack(tag, *eight), struct.pack(tag, *sixteen))
    assert [colour(content, limits) for content in [*contents, halves]] == [(0x10, 0x20, 0xF0)] * 4


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_near_its_colour(form, limits):
    assert np.allclose(colour(saved(Image.new("CMYK", (100, 80), (0, 255, 255, 51)), form), limits), (204, 0, 0), atol=4)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "HEIF", "AVIF"])
def test_first_frame_of_several(form, limits):
    frames = [Image.new("RGB", (100, 80), name) for name in ("red", "lime", "blue")]
    content = saved(frames[0], form, save_all=True, append_images=frames[1:])
    assert np.allclose(colour(content, limits), (255, 0, 0), atol=4)


@pytest.mark.parametrize("form", ["BMP", "PPM", "PCX", "QOI", "SGI", "JPEG2000", "AVIF", "HEIF", "WEBP", "GIF"])
def test_other_formats(form, limits):
    assert np.allclose(colour(saved(Image.new("RGB", (100, 80), (10, 200, 30)), form), limits), (10, 200, 30), atol=4)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG", "HEIF", "AVIF"])
def test_upright_pixel_by_pixel(orientation, form, limits):
    options = {"WEBP": {"lossless": True}, "JPEG": {"subsampling": 0}}.get(form, {})
    stored = noise(104, 72)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    if form == "HEIF":  # its writer stores the rotation beside the image too, and the reader applies it: once is right
        exif = exif.tobytes()
    picture = used(saved(stored, form, exif=exif, quality=100, **options), limits)
    upright, turns = np.asarray(stored), UPRIGHT[orientation]
    upright = upright[:: -1 if "y" in turns else 1, :: -1 if "x" in turns else 1]
    upright = upright.transpose(1, 0, 2) if "t" in turns else upright
    assert (picture.height, picture.width) == picture.rgb.size[::-1] == upright.shape[:2]
    error = np.abs(np.asarray(picture.rgb, int) - upright)
    assert error.max() == 0 if form in ("PNG", "TIFF", "WEBP") else error.mean() < 12


@pytest.mark.parametrize(("size", "kept"), [((1600, 800), (640, 320)), ((700, 1400), (320, 640)), ((640, 480), (640, 480))])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_shrunk_never_enlarged(size, kept, form, limits):
    picture = used(saved(noise(*size), form), limits)
    assert (picture.rgb.size, (picture.width, picture.height)) == (kept, size)


def test_quick_decoding_of_a_large_jpeg_equals_the_full_one(limits):
    content = saved(noise(3000, 2000), "JPEG", quality=95)
    picture = used(content, limits, max_side=300)
    whole = Image.open(io.BytesIO(content)).resize((300, 200), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(picture.rgb, int) - np.asarray(whole, int)).max() <= 6


def test_colour_profile_is_applied_where_it_fits(limits):
    xyz = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()  # no profile of an RGB image
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = srgb.replace(b"rXYZ", b"tmp ").replace(b"gXYZ", b"rXYZ").replace(b"tmp ", b"gXYZ")  # its red is green
    image = Image.new("RGB", (100, 80), (200, 30, 10))
    assert np.allclose(colour(saved(image, "PNG", icc_profile=srgb), limits), (200, 30, 10), atol=1)
    assert np.allclose(colour(saved(image, "PNG", icc_profile=swapped), limits), (30, 200, 10), atol=1)
    for unfit in (xyz, lab, b"no profile at all", b""):
        assert colour(saved(image, "PNG", icc_profile=unfit), limits) == (200, 30, 10)


def test_plain_jpeg_is_known_as_such(limits):
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo, grey = noise(100, 80), noise(100, 80, "L")
    assert all(used(saved(photo, "JPEG"), limits, side).as_in_file for side in (640, 100))
    assert not used(saved(photo, "JPEG"), limits, 99).as_in_file
    others = (
        saved(photo, "JPEG", exif=turned),
        saved(photo, "JPEG", icc_profile=profile),
        saved(grey, "JPEG"),
        saved(photo, "PNG"),
    )
    assert not any(used(content, limits).as_in_file for content in others)


def focal_fields(content: bytes, limits) -> dict[int, object]:
    exif, kept = Image.Exif(), used(content, limits).exif
    if kept:
        exif.load(kept)
    return dict(exif) | exif.get_ifd(ExifTags.IFD.Exif)


def test_only_the_focal_length_is_kept_of_exif(limits):
    exif, tags = Image.Exif(), ExifTags.Base
    exif.update({tags.Make: "Canon", tags.Model: "EOS 5D", tags.Artist: "A. Nonymous"})
    focal = {tags.FocalLength: TiffImagePlugin.IFDRational(355, 10), tags.FocalLengthIn35mmFilm: 36}
    exif.get_ifd(ExifTags.IFD.Exif).update(focal)
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    fields = focal_fields(saved(noise(100, 80), "JPEG", exif=exif), limits)
    fields.pop(ExifTags.IFD.Exif)
    assert fields == {tags.Make: "Canon", tags.Model: "EOS 5D", **focal}


@pytest.mark.parametrize("value", [0, -35.0, TiffImagePlugin.IFDRational(35, 0), "long", float("inf"), (35, 36)])
def test_a_senseless_focal_length_is_dropped(value, limits):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLength] = value
    assert focal_fields(saved(noise(100, 80), "JPEG", exif=exif), limits) == {}


EXIF = b"Exif\0\0II*\0"


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0rubbish", EXIF + b"\xff" * 4, EXIF + b"\x08\0\0\0\xff\xff"])
def test_a_broken_exif_block_does_not_cost_the_photo(broken, limits):
    assert isinstance(outcome(saved(noise(100, 80), "JPEG", exif=broken), limits), Picture)
    assert isinstance(outcome(saved(noise(100, 80), "PNG", exif=broken), limits), Picture)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, pixels: bytes, kind: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def claiming(form: str, width: int, height: int) -> bytes:
    """A file whose header claims this size, whatever pixels follow."""
    if form == "PNG":
        return png(width, height, 8, b"")
    content = saved(noise(100, 80), form)
    old, new = {
        "JPEG": (struct.pack(">HH", 80, 100), struct.pack(">HH", height, width)),
        "BMP": (struct.pack("<ii", 100, 80), struct.pack("<ii", width, height)),
        "GIF": (struct.pack("<HH", 100, 80), struct.pack("<HH", width, height)),
        "PPM": (b"100 80", b"%d %d" % (width, height)),
    }[form]
    assert old in content
    return content.replace(old, new)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "GIF", "PPM"])
def test_a_claim_of_900_megapixels_is_never_decoded(form, limits, monkeypatch):
    content = claiming(form, 30000, 30000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    assert outcome(content, limits) == "too large"


def test_a_compressed_text_that_blows_up_memory(limits):
    content, bomb = saved(noise(100, 80), "PNG"), chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(2**25), 9))
    assert outcome(content[:33] + bomb + content[33:], limits) == "not decodable"


@pytest.mark.parametrize("size", [(0, 80), (100, 0), (0, 0)])
@pytest.mark.parametrize("form", ["JPEG", "BMP", "GIF", "PPM", "PNG"])
def test_no_pixels(form, size, limits):
    assert outcome(claiming(form, *size), limits) == "not decodable"


def test_at_the_limits(limits):
    assert limits.min_side == 64
    assert outcome(saved(noise(63, 500), "PNG"), limits) == "too small"
    assert outcome(saved(noise(500, 63), "PNG"), limits) == "too small"
    assert isinstance(outcome(saved(noise(64, 64), "PNG"), limits), Picture)
    at_most = limits.model_copy(update={"max_megapixels": 0.01})
    assert isinstance(outcome(saved(noise(100, 100), "PNG"), at_most), Picture)
    assert outcome(saved(noise(101, 100), "PNG"), at_most) == "too large"


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n"


@pytest.mark.parametrize("content", [b"text", b"%PDF-1.7\n", EPS, bytes(100), b"\x89HDF\r\n\x1a\n"])
def test_not_an_image(content, limits):
    assert outcome(content, limits) == "not an image"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "HEIF"])
def test_cut_anywhere(form, limits):
    content = saved(noise(200, 160), form)
    for length in sorted({*range(16), *np.linspace(16, len(content), 40).astype(int).tolist()}):
        found = outcome(content[:length], limits)
        assert isinstance(found, Picture) or found in ("not an image", "not decodable"), (length, found)
        if form != "BMP" and length < 0.9 * len(content):
            assert not isinstance(found, Picture), length


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_grey_is_scaled_to_the_bits_in_use(bits, limits):
    values = np.linspace(0, 2**bits - 1, 100 * 80).astype(np.uint16).reshape(80, 100)
    picture = used(saved(Image.fromarray(values), "PNG"), limits)
    assert (np.asarray(picture.rgb)[..., 0] == values >> (bits - 8)).all()


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end(progressive, limits):
    """Used without its last two bytes, or with at most 2 % of its rows missing; not with more."""
    content = saved(noise(800, 1600), "JPEG", quality=90, progressive=progressive)
    whole = used(content, limits)
    assert whole.missing_rows == 0
    cut = used(content[:-2], limits)
    assert cut.missing_rows >= 1
    assert (cut.width, cut.height, cut.as_in_file) == (800, 1600, False)
    assert np.abs(np.asarray(cut.rgb, int) - np.asarray(whole.rgb, int))[:-8].max() <= 2
    nearly = used(content[: -len(content) // 125], limits)
    assert nearly.missing_rows <= 32
    assert outcome(content[: len(content) // 3], limits) == "not decodable"


def test_a_large_jpeg_decodes_at_an_eighth(limits):
    """108 megapixels are used; a PNG or progressive JPEG of that size, or ten times as many pixels, are not."""
    large = saved(Image.new("L", (12000, 9000), 90), "JPEG")
    assert outcome(large, limits).rgb.size == (640, 480)
    assert outcome(claiming("PNG", 12000, 9000), limits) == "too large"
    assert outcome(large.replace(b"\xff\xc0", b"\xff\xc2"), limits) == "too large"
    assert outcome(claiming("JPEG", 40000, 30000), limits) == "too large"
    raised = limits.model_copy(update={"max_megapixels": 110})
    assert outcome(claiming("PNG", 12000, 9000), raised) == "not decodable"  # so it was decoded


def tiff(**tags: int) -> bytes:
    """A TIFF of 100 x 80 px with more tags, by their number."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        number = int(tag.removeprefix("t"))
        info[number], info.tagtype[number] = (bytes(4), 1) if number == 50706 else (value, 4)
    return saved(noise(100, 80), "TIFF", tiffinfo=info)


def test_raw_files_are_named_as_such(limits):
    """Pillow would show the thumbnail of a DNG or NEF, and nothing of the sensor's data."""
    assert isinstance(outcome(tiff(), limits), Picture)
    assert isinstance(outcome(tiff(t254=1), limits), Picture)  # a thumbnail without its photo
    assert outcome(tiff(t254=1, t330=8), limits) == "raw file"
    assert outcome(tiff(t254=1, t50706=0), limits) == "raw file"
    sensor = tiff().replace(struct.pack("<HHLHH", 262, 3, 1, 2, 0), struct.pack("<HHLHH", 262, 3, 1, 32803, 0))
    assert sensor != tiff()
    assert outcome(sensor, limits) == "raw file"
    for beginning in (b"II*\0\x10\0\0\0CR\2\0", b"IIRO\x08", b"FUJIFILMCCD-RAW 0201", b"\0MRM\0", b"\0\0\0\x18ftypcrx \0"):
        assert outcome(beginning + bytes(100), limits) == "raw file"
