"""The explorer's data: the benchmarks' codes and thumbnails, from which one page of the site computes rankings by itself.

explorer-data.js holds one object, `explored`: `systems` (name, label, bits); `collections`, by name: its photos' names, the
database first and in its order, the size of the database, and the fields of every system's BenchmarkCodes; `benchmarks` with
their queries: a photo, a box as shares of it (left, top, width, height), positives and junk, photos by their number in the
collection. The thumbnail of photo 7 is explorer/COLLECTION/7.jpg.
"""

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

from PIL import Image

from bcdh_lib.report.figures.sheets import thumbnail
from bcdh_lib.report.figures.style import DPI, benchmark_label, face
from bcdh_lib.retrieval.benchmarks import Benchmark, read_benchmarks
from bcdh_lib.retrieval.codes import one_per_photo_set, read_codes
from bcdh_lib.retrieval.systems import System, systems
from bcdh_lib.study import Study

SIDE, SMALLEST, AS_MANY = 200, 48, 1000
"""Longest side of a thumbnail (px) of up to AS_MANY photos; with more, it shrinks with the root of their number to SMALLEST."""


def explorer_files(study: Study) -> dict[str, bytes]:
    """The explorer's files by their path in the site's assets; none if the study has no binary codes. Raises StudyError."""
    compared = [system for system in systems(study) if system.bits] if study.codes.is_dir() else []
    if not compared:
        return {}
    benchmarks = read_benchmarks(study)
    collections = one_per_photo_set(benchmarks)
    photos = {  # the database in its order, then photos of queries outside of it
        name: each.photos | {query.photo: each.photo_of(query) for query in each.queries} for name, each in collections.items()
    }
    side = max(SMALLEST, min(SIDE, int(SIDE * math.sqrt(AS_MANY / sum(map(len, photos.values()))))))
    files, sizes = {}, {}
    for name, paths in photos.items():
        for number, (photo, path) in enumerate(paths.items()):
            files[f"explorer/{name}/{number}.jpg"], sizes[name, photo] = _picture(path, side)
    explored = {
        "systems": [{"name": each.name, "label": face(each.method).label, "bits": each.bits} for each in compared],
        "collections": {
            name: {"photos": list(photos[name]), "database": len(benchmark.photos), "codes": _codes(study, benchmark, compared)}
            for name, benchmark in collections.items()
        },
        "benchmarks": [_asked(each, list(photos[each.photo_set]), sizes) for each in benchmarks],
    }
    data = f"const explored = {json.dumps(explored, separators=(',', ':'))};\n"
    return {"explorer-data.js": data.encode(), **files}


def _picture(path: Path, side: int) -> tuple[bytes, tuple[int, int]]:
    """A photo's thumbnail as JPEG, and the whole photo's width and height, px. Raises StudyError."""
    pixels, size = thumbnail(path, side / DPI, side / DPI)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75, optimize=True)
    return buffer.getvalue(), size


def _codes(study: Study, benchmark: Benchmark, compared: list[System]) -> dict[str, dict[str, str]]:
    """Every field of BenchmarkCodes in base64, row by row: packed bits as core.codes packs them, outputs as float32."""
    read = {system.name: vars(read_codes(study, benchmark, system)) for system in compared}
    return {name: {key: base64.b64encode(rows.tobytes()).decode() for key, rows in each.items()} for name, each in read.items()}


def _asked(benchmark: Benchmark, names: list[str], sizes: dict[tuple[str, str], tuple[int, int]]) -> dict[str, Any]:
    """A benchmark's name and queries, in its order."""
    place = {name: number for number, name in enumerate(names)}
    queries = []
    for query in benchmark.queries:
        box = None
        if query.box:
            (left, top, right, bottom), (width, height) = query.box, sizes[benchmark.photo_set, query.photo]
            box = [round(share, 4) for share in (left / width, top / height, (right - left) / width, (bottom - top) / height)]
        marked = {"positives": query.positives, "junk": query.junk}
        numbers = {mark: sorted(place[name] for name in names) for mark, names in marked.items()}
        queries.append({"name": query.name, "photo": place[query.photo], "box": box, **numbers})
    return {"label": benchmark_label(benchmark.name), "collection": benchmark.photo_set, "queries": queries}
