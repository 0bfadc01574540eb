"""What a search found as one HTML page that needs nothing beside it: thumbnails are in it, each with words for it."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bcdh_lib.params import Photos
from bcdh_lib.photos.decoding import Unfit, decode, prepare_process, read_header
from bcdh_lib.photos.folder import path_from_table, path_in_table
from bcdh_lib.search.photo_index import Hit, PhotoIndex

SIDE = 320
"""Longest side of a thumbnail, px."""


def contact_sheet(index: PhotoIndex, queries: Sequence[Path], found: Sequence[Sequence[Hit]]) -> str:
    """The page of each query's hits, in order. A photo that has gone since it was indexed is said to be unreadable."""
    prepare_process()
    limits = index.facts.photos
    templates = Environment(loader=PackageLoader("bcdh_lib", "search"), undefined=StrictUndefined, autoescape=True)
    shown: list[dict[str, Any]] = [
        {
            "name": path_in_table(query),
            "picture": thumbnail(query, limits),
            "hits": [vars(hit) | {"picture": thumbnail(path_from_table(hit.path), limits)} for hit in hits],
        }
        for query, hits in zip(queries, found, strict=True)
    ]
    template = templates.get_template("contact_sheet.html.j2")
    return template.render(queries=shown, bits=len(index.rows.centre), photos=len(index.rows.codes))


def thumbnail(path: Path, limits: Photos) -> str:
    """A photo, upright and small, as a JPEG in base64; empty where it cannot be read."""
    try:
        with open(path, "rb") as content:
            rgb = decode(read_header(content, limits), SIDE).rgb
    except (OSError, ValueError, Unfit):  # ValueError: no file can have such a path
        return ""
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", quality=80, comment=b"")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
