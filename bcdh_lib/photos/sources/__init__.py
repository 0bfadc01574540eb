"""Registry of photo sources, one file each: a source's module defines `photos_of(study)`, which returns a folder of photos."""

from collections.abc import Callable
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.registry import discover
from bcdh_lib.params import Params
from bcdh_lib.study import Study

SOURCES: dict[str, Callable[[Study], Path]] = discover(__name__, "photos_of")


def check_source(params: Params) -> None:
    """Raises StudyError if photos.source names no source."""
    if params.photos.source not in SOURCES:
        raise StudyError(f"params.yaml: photos.source: {params.photos.source} is unknown; choose from {', '.join(SOURCES)}")
