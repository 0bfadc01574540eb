"""The checkpoint whose codes propose candidates, as a file that DVC can compare.

It writes data/checkpoint.txt: the digests of the checkpoint's two files; empty where no codes are asked for. The checkpoint is
of another study, or a copy: this study's own training follows from its reconstruction.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_bytes
from bcdh_lib.study import Study, open_study


def checkpoint_files(study: Study) -> list[Path]:
    """The checkpoint of reconstruction.checkpoint (.safetensors) and its facts (.json); none where no codes are asked for.

    Raises StudyError where one of them is absent, or they are this study's own.
    """
    settings = study.params.reconstruction
    if settings.candidates not in ("codes", "both"):
        return []
    named = study.root / Path(str(settings.checkpoint)).expanduser()
    own = study.checkpoints.resolve()
    # The parent too: DVC may keep this study's own checkpoints as links into its cache.
    if any(place.is_relative_to(own) for place in (named.resolve(), named.parent.resolve())):
        raise StudyError(
            f"reconstruction.checkpoint: {named}: is this study's own, whose training follows from its reconstruction; "
            "copy it and its .json out of data/checkpoints first, and name the copy"
        )
    files = [named, named.with_suffix(".json")]
    for file in files:
        if not file.is_file():
            raise StudyError(
                f"reconstruction.checkpoint: {file}: is not there; name a checkpoint of another study, NAME.safetensors, "
                "with its NAME.json beside it"
            )
    return files


def describe_checkpoint(study: Study) -> bytes:
    """A line a file of the checkpoint: its SHA-256 and what it is. Raises StudyError."""
    lines = (f"{hashlib.sha256(file.read_bytes()).hexdigest()} {file.suffix}\n" for file in checkpoint_files(study))
    return "".join(lines).encode()


def main() -> int:
    """The command line; returns the exit code."""
    try:
        study = open_study()
        write_bytes(study.root / "data/checkpoint.txt", describe_checkpoint(study))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
