"""Your own photos: any folder, at any depth. It is only read."""

from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.photos.folder import path_from_table, path_in_table
from bcdh_lib.study import Study


def photos_of(study: Study) -> Path:
    """The folder that photos.folder names, absolute or relative to the study's root; bytes that are not UTF-8 are written \\xNN.

    Raises StudyError if it is not set, is no folder, or lies inside the study's own data.
    """
    named = study.params.photos.folder
    if named is None:
        raise StudyError("photos.source is folder: set photos.folder in params.yaml to your photos' folder")
    folder = study.root / Path(named).expanduser()
    if not folder.exists():
        folder = study.root / path_from_table(named).expanduser()
    shown = f"photos.folder: {path_in_table(folder)}"
    if not folder.exists():
        raise StudyError(f"{shown} does not exist; set photos.folder in params.yaml to your photos' folder")
    if not folder.is_dir():
        raise StudyError(f"{shown} is a file; set photos.folder in params.yaml to the folder around it")
    for own in ("data", "work"):
        if folder.resolve().is_relative_to((study.root / own).resolve()):
            raise StudyError(f"{shown} lies in the study's own {own}/, which the study overwrites; move your photos elsewhere")
    return folder
