"""What a search found, as one HTML page: thumbnails are inside it, and each hit links to its photo."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bcdh_lib.params import Photos
from bcdh_lib.photos.decoding import Unfit, decode, read_header
from bcdh_lib.photos.folder import path_from_table, path_in_table
from bcdh_lib.search.photo_index import Answer, PhotoIndex

SIDE = 320
"""Longest side of a thumbnail, px."""


def contact_sheet(index: PhotoIndex, answers: Sequence[Answer]) -> str:
    """The page of each query's hits, in order. For a photo that cannot be read any more it says so."""
    limits = index.facts.photos
    queries = []
    for answer in (each for each in answers if each.fault is None):
        files = [path_from_table(hit.path) for hit in answer.hits]
        hits = [
            vars(hit) | {"picture": thumbnail(file, limits), "link": file.as_uri()}
            for hit, file in zip(answer.hits, files, strict=True)
        ]
        queries.append({"name": path_in_table(answer.query), "picture": thumbnail(answer.query, limits), "hits": hits})
    templates = Environment(loader=PackageLoader("bcdh_lib", "search"), undefined=StrictUndefined, autoescape=True)
    template = templates.get_template("contact_sheet.html.j2")
    return template.render(queries=queries, bits=len(index.centre), photos=len(index.codes))


def thumbnail(path: Path, limits: Photos) -> str:
    """A photo, upright and small, as a JPEG in base64; empty if it cannot be read."""
    try:
        with open(path, "rb") as content:
            rgb = decode(read_header(content, limits), SIDE).rgb
    except (OSError, ValueError, Unfit):  # ValueError: no file can have such a path
        return ""
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", quality=80, comment=b"")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
