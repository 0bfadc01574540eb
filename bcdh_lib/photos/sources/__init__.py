"""Registry of photo sources, one file each: a source's module defines `photos_of(study)`, which returns a folder of photos."""

from collections.abc import Callable
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.registry import discover
from bcdh_lib.study import Study

SOURCES: dict[str, Callable[[Study], Path]] = discover(__name__, "photos_of")


def source_of(study: Study) -> Callable[[Study], Path]:
    """The source that photos.source names. Raises StudyError if there is none of this name."""
    name = study.params.photos.source
    if name not in SOURCES:
        raise StudyError(f"params.yaml: photos.source: {name} is unknown; choose from {', '.join(SOURCES)}")
    return SOURCES[name]
