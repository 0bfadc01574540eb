"""Where photos come from, one file a source; `gather` is the photos stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.photos.folder import locate, take_in
from bcdh_lib.photos.rendered import render
from bcdh_lib.study import Study

__all__ = ["SOURCES", "StudyError", "gather"]


# What photos.source may name: each takes the study and gives the folder that holds the photos.
SOURCES: dict[str, Callable[[Study], Path]] = {"rendered": lambda study: study.rendered_pool, "folder": locate}


def gather(study: Study) -> None:
    """The photos stage: the photos of photos.source, upright and decoded once, with photos.parquet and left_out.parquet.

    A rendered collection is read by the same code as anybody's folder. Raises StudyError.
    """
    if study.params.photos.source == "rendered":
        render(study)
    take_in(study, SOURCES[study.params.photos.source](study))
