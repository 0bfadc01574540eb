"""The photo files of benchmarks: where they are, whether each can be opened, and whether it contains its queries' boxes."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark

SLACK = 1.0  # px; a box written by hand may reach past the last pixel by rounding


def photo_folder(folder: Path) -> Path:
    """The folder of a benchmark's photos: images/, or jpg/ as in the published archives."""
    return folder / "images" if (folder / "images").is_dir() else folder / "jpg"


def photos_in(folder: Path) -> dict[str, Path]:
    """Stem -> path of every .jpg of a benchmark, sorted by stem. Raises StudyError if there is none."""
    place = photo_folder(folder)
    photos = {path.stem: path for path in sorted(place.glob("*.jpg"))}
    if not photos:
        raise StudyError(f"{place}: has no .jpg; put the benchmark's photos there, not in subfolders")
    return photos


def chosen_photos(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Name -> path of a benchmark's photos of these names, in their order. Raises StudyError if one is missing."""
    photos = photos_in(folder)
    missing = [name for name in names if name not in photos]
    if missing:
        raise StudyError(
            f"{photo_folder(folder)}: lacks {one_line(missing[0])}.jpg, and in all {len(missing):,} of the {len(names):,} photos "
            "that the ground truth names; unpack all of the benchmark's photos there"
        )
    return {name: photos[name] for name in names}


def require_photos(benchmarks: Iterable[Benchmark]) -> None:
    """Open every photo's header once, so that a broken file is found before hours of encoding; decodes nothing.

    Raises StudyError at the first file that is no photo, or whose query has a box that exceeds it.
    """
    sizes: dict[Path, tuple[int, int]] = {}
    for benchmark in benchmarks:
        for path in (*benchmark.photos.values(), *benchmark.query_photos.values()):
            if path not in sizes:
                sizes[path] = _size(path)
        for query in benchmark.queries:
            path = benchmark.photo_of(query)
            width, height = sizes[path]
            if query.box and (query.box[2] > width + SLACK or query.box[3] > height + SLACK):
                raise StudyError(
                    f"{path}: query {query.name}'s box {query.box} exceeds the photo of {width} x {height} px; "
                    "put the photo there in its published size"
                )


def _size(path: Path) -> tuple[int, int]:
    """Width and height, px, as stored."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:  # Pillow's readers raise many kinds of errors on broken files
        said = "no image" if isinstance(error, OSError) and not error.errno else one_line(error)
        raise StudyError(f"{path}: cannot be read as a photo ({said}); unpack it again from the published archive") from None
