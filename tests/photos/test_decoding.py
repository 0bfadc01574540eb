"""Image files in every form and condition: used as the stated rules say, or unfit for a stated reason, never an exception."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageFile, TiffImagePlugin

from bcdh_lib.params import Photos, load_params
from bcdh_lib.photos.decoding import Picture, Unfit, decode, prepare_process, read_header
from bcdh_lib.study import find_root

LIMITS = load_params(find_root() / "params.yaml").photos

# What undoes each of EXIF's orientations: rows reversed, columns reversed, then rows and columns exchanged.
UPRIGHT = {1: "", 2: "x", 3: "xy", 4: "y", 5: "t", 6: "yt", 7: "xyt", 8: "xt"}


@pytest.fixture(autouse=True)
def prepared(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back after the test
    prepare_process()


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Blurred noise: every pixel differs from its neighbours, and a lossy format keeps it nearly."""
    grain = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(grain).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def outcome(content: bytes, max_side: int = 640, limits: Photos = LIMITS) -> Picture | str:
    """The picture, or the reason why there is none."""
    try:
        return decode(read_header(io.BytesIO(content), limits), max_side)
    except Unfit as unfit:
        reason, detail = unfit.args
        assert len(detail.splitlines()) == 1
        return reason


def used(content: bytes, max_side: int = 640) -> Picture:
    picture = outcome(content, max_side)
    assert isinstance(picture, Picture), picture
    assert picture.rgb.mode == "RGB"
    return picture


def colour(content: bytes) -> tuple[int, int, int]:
    return tuple(np.asarray(used(content).rgb)[40, 50].tolist())


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
def test_modes(mode, value, expected, form):
    assert colour(saved(Image.new(mode, (100, 80), value), form)) == expected


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_grey_is_stretched(mode):
    values = np.full((80, 100), -50, np.float32 if mode == "F" else np.int32)
    values[:, 50:] = 350
    values[40, 50] = 150
    picture = used(saved(Image.fromarray(values), "TIFF"))
    assert [picture.rgb.getpixel(place) for place in ((0, 0), (99, 0), (50, 40))] == [(0,) * 3, (255,) * 3, (128,) * 3]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bits_are_scaled_to_the_bits_in_use(bits):
    """Grey, and colour in PNG and TIFF, opaque if transparency uses the same bits or all 16."""
    grey = np.linspace(0, 2**bits - 1, 100 * 80).astype(np.uint16).reshape(80, 100)
    assert (np.asarray(used(saved(Image.fromarray(grey), "PNG")).rgb)[..., 0] == grey >> (bits - 8)).all()
    values = [value >> (16 - bits) for value in (0x10FF, 0x2000, 0xF0AB)]
    contents = [png(100, 80, 16, zlib.compress((b"\0" + struct.pack(">3H", *values) * 100) * 80))]
    for opaque in (2**bits - 1, 2**16 - 1):
        contents.append(png(100, 80, 16, zlib.compress((b"\0" + struct.pack(">4H", *values, opaque) * 100) * 80), kind=6))
    halves = saved(Image.fromarray(np.tile(np.array(values, "<u2"), 8000).view(np.uint8).reshape(80, 200, 3)), "TIFF")
    for tag, eight, sixteen in (("<HHLL", (256, 4, 1, 200), (256, 4, 1, 100)), ("<3H", (8, 8, 8), (16, 16, 16))):
        halves = halves.replace(struct.pack(tag, *eight), struct.pack(tag, *sixteen))
    assert [colour(content) for content in [*contents, halves]] == [(0x10, 0x20, 0xF0)] * 4


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_near_its_colour(form):
    assert np.allclose(colour(saved(Image.new("CMYK", (100, 80), (0, 255, 255, 51)), form)), (204, 0, 0), atol=4)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "HEIF", "AVIF"])
def test_first_frame_of_several(form):
    frames = [Image.new("RGB", (100, 80), name) for name in ("red", "lime", "blue")]
    content = saved(frames[0], form, save_all=True, append_images=frames[1:])
    assert np.allclose(colour(content), (255, 0, 0), atol=4)


@pytest.mark.parametrize("form", ["BMP", "PPM", "PCX", "QOI", "SGI", "JPEG2000", "AVIF", "HEIF", "WEBP", "GIF"])
def test_other_formats(form):
    assert np.allclose(colour(saved(Image.new("RGB", (100, 80), (10, 200, 30)), form)), (10, 200, 30), atol=4)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG", "HEIF", "AVIF"])
def test_upright_pixel_by_pixel(orientation, form):
    options = {"WEBP": {"lossless": True}, "JPEG": {"subsampling": 0}}.get(form, {})
    stored = noise(104, 72)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    if form == "HEIF":  # its writer stores the rotation beside the image too, and the reader applies it: once is right
        exif = exif.tobytes()
    picture = used(saved(stored, form, exif=exif, quality=100, **options))
    upright, turns = np.asarray(stored), UPRIGHT[orientation]
    upright = upright[:: -1 if "y" in turns else 1, :: -1 if "x" in turns else 1]
    upright = upright.transpose(1, 0, 2) if "t" in turns else upright
    assert (picture.height, picture.width) == picture.rgb.size[::-1] == upright.shape[:2]
    error = np.abs(np.asarray(picture.rgb, int) - upright)
    assert error.max() == 0 if form in ("PNG", "TIFF", "WEBP") else error.mean() < 12


@pytest.mark.parametrize(("size", "kept"), [((1600, 800), (640, 320)), ((700, 1400), (320, 640)), ((640, 480), (640, 480))])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_shrunk_never_enlarged(size, kept, form):
    picture = used(saved(noise(*size), form))
    assert (picture.rgb.size, (picture.width, picture.height)) == (kept, size)


def test_quick_decoding_of_a_large_jpeg_equals_the_full_one():
    content = saved(noise(3000, 2000), "JPEG", quality=95)
    picture = used(content, max_side=300)
    whole = Image.open(io.BytesIO(content)).resize((300, 200), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(picture.rgb, int) - np.asarray(whole, int)).max() <= 6


def profile(space):
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def test_colour_profile_is_applied_where_it_fits():
    xyz, lab, srgb = (profile(space) for space in ("XYZ", "LAB", "sRGB"))
    swapped = srgb.replace(b"rXYZ", b"tmp ").replace(b"gXYZ", b"rXYZ").replace(b"tmp ", b"gXYZ")  # its red is green
    image = Image.new("RGB", (100, 80), (200, 30, 10))
    assert np.allclose(colour(saved(image, "PNG", icc_profile=srgb)), (200, 30, 10), atol=1)
    assert np.allclose(colour(saved(image, "PNG", icc_profile=swapped)), (30, 200, 10), atol=1)
    for unfit in (xyz, lab, b"no profile at all", b""):  # an RGB image has no profile of XYZ
        assert colour(saved(image, "PNG", icc_profile=unfit)) == (200, 30, 10)


def test_plain_jpeg_is_known_as_such():
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    photo, grey = noise(100, 80), noise(100, 80, "L")
    assert all(used(saved(photo, "JPEG"), side).as_in_file for side in (640, 100))
    assert not used(saved(photo, "JPEG"), 99).as_in_file
    others = [saved(photo, "JPEG", exif=turned), saved(photo, "JPEG", icc_profile=profile("sRGB")), saved(grey, "JPEG")]
    assert not any(used(content).as_in_file for content in [*others, saved(photo, "PNG")])


def focal_fields(content: bytes) -> dict[int, object]:
    exif, kept = Image.Exif(), used(content).exif
    if kept:
        exif.load(kept)
    return dict(exif) | exif.get_ifd(ExifTags.IFD.Exif)


def test_only_the_focal_length_is_kept_of_exif():
    exif, tags = Image.Exif(), ExifTags.Base
    exif.update({tags.Make: "Canon", tags.Model: "EOS 5D", tags.Artist: "A. Nonymous"})
    focal = {tags.FocalLength: TiffImagePlugin.IFDRational(355, 10), tags.FocalLengthIn35mmFilm: 36}
    exif.get_ifd(ExifTags.IFD.Exif).update(focal)
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    fields = focal_fields(saved(noise(100, 80), "JPEG", exif=exif))
    fields.pop(ExifTags.IFD.Exif)
    assert fields == {tags.Make: "Canon", tags.Model: "EOS 5D", **focal}


@pytest.mark.parametrize("value", [0, -35.0, TiffImagePlugin.IFDRational(35, 0), "long", float("inf"), (35, 36)])
def test_a_senseless_focal_length_is_dropped(value):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLength] = value
    assert focal_fields(saved(noise(100, 80), "JPEG", exif=exif)) == {}


EXIF = b"Exif\0\0II*\0"


@pytest.mark.parametrize("broken", [b"Exif\0\0", b"Exif\0\0rubbish", EXIF + b"\xff" * 4, EXIF + b"\x08\0\0\0\xff\xff"])
def test_a_broken_exif_block_does_not_cost_the_photo(broken):
    assert isinstance(outcome(saved(noise(100, 80), "JPEG", exif=broken)), Picture)
    assert isinstance(outcome(saved(noise(100, 80), "PNG", exif=broken)), Picture)


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
def test_a_claim_of_900_megapixels_is_never_decoded(form, monkeypatch):
    content = claiming(form, 30000, 30000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    assert outcome(content) == "too large"


def test_a_compressed_text_that_blows_up_memory():
    content, bomb = saved(noise(100, 80), "PNG"), chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(2**25), 9))
    assert outcome(content[:33] + bomb + content[33:]) == "not decodable"


@pytest.mark.parametrize("size", [(0, 80), (100, 0), (0, 0)])
@pytest.mark.parametrize("form", ["JPEG", "BMP", "GIF", "PPM", "PNG"])
def test_no_pixels(form, size):
    assert outcome(claiming(form, *size)) == "not decodable"


def test_at_the_limits():
    assert LIMITS.min_side == 64
    assert outcome(saved(noise(63, 500), "PNG")) == outcome(saved(noise(500, 63), "PNG")) == "too small"
    assert isinstance(outcome(saved(noise(64, 64), "PNG")), Picture)
    at_most = LIMITS.model_copy(update={"max_megapixels": 0.01})
    assert isinstance(outcome(saved(noise(100, 100), "PNG"), limits=at_most), Picture)
    assert outcome(saved(noise(101, 100), "PNG"), limits=at_most) == "too large"


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n"


@pytest.mark.parametrize("content", [b"text", b"%PDF-1.7\n", EPS, bytes(100), b"\x89HDF\r\n\x1a\n"])
def test_not_an_image(content):
    assert outcome(content) == "not an image"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "HEIF"])
def test_cut_anywhere(form):
    content = saved(noise(200, 160), form)
    for length in sorted({*range(16), *np.linspace(16, len(content), 40).astype(int).tolist()}):
        found = outcome(content[:length])
        assert isinstance(found, Picture) or found in ("not an image", "not decodable"), (length, found)
        if form != "BMP" and length < 0.9 * len(content):
            assert not isinstance(found, Picture), length


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end(progressive):
    """Used without its last two bytes, or with at most 2 % of its rows missing; not with more."""
    content = saved(noise(800, 1600), "JPEG", quality=90, progressive=progressive)
    whole = used(content)
    assert whole.missing_rows == 0
    cut = used(content[:-2])
    assert cut.missing_rows >= 1
    assert (cut.width, cut.height, cut.as_in_file) == (800, 1600, False)
    assert np.abs(np.asarray(cut.rgb, int) - np.asarray(whole.rgb, int))[:-8].max() <= 2
    nearly = used(content[: -len(content) // 125])
    assert nearly.missing_rows <= 32
    assert outcome(content[: len(content) // 3]) == "not decodable"


def test_a_large_jpeg_decodes_at_an_eighth():
    """108 megapixels are used; a PNG or progressive JPEG of that size, or ten times as many pixels, are not."""
    large = saved(Image.new("L", (12000, 9000), 90), "JPEG")
    assert outcome(large).rgb.size == (640, 480)
    assert outcome(claiming("PNG", 12000, 9000)) == "too large"
    assert outcome(large.replace(b"\xff\xc0", b"\xff\xc2")) == "too large"
    assert outcome(claiming("JPEG", 40000, 30000)) == "too large"
    raised = LIMITS.model_copy(update={"max_megapixels": 110})
    assert outcome(claiming("PNG", 12000, 9000), limits=raised) == "not decodable"  # so it was decoded


def tiff(**tags: int) -> bytes:
    """A TIFF of 100 x 80 px with more tags, by their number."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        number = int(tag.removeprefix("t"))
        info[number], info.tagtype[number] = (bytes(4), 1) if number == 50706 else (value, 4)
    return saved(noise(100, 80), "TIFF", tiffinfo=info)


def test_raw_files_are_named_as_such():
    """Pillow would show the thumbnail of a DNG or NEF, and nothing of the sensor's data."""
    assert isinstance(outcome(tiff()), Picture)
    assert isinstance(outcome(tiff(t254=1)), Picture)  # a thumbnail without its photo
    assert outcome(tiff(t254=1, t330=8)) == "raw file"
    assert outcome(tiff(t254=1, t50706=0)) == "raw file"
    sensor = tiff().replace(struct.pack("<HHLHH", 262, 3, 1, 2, 0), struct.pack("<HHLHH", 262, 3, 1, 32803, 0))
    assert sensor != tiff()
    assert outcome(sensor) == "raw file"
    for beginning in (b"II*\0\x10\0\0\0CR\2\0", b"IIRO\x08", b"FUJIFILMCCD-RAW 0201", b"\0MRM\0", b"\0\0\0\x18ftypcrx \0"):
        assert outcome(beginning + bytes(100)) == "raw file"
