"""Notebooks as Git keeps them. Without nbformat: importing its schemas takes a second, and every `make repro` strips."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bcdh_lib.core.errors import StudyError, one_line

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def stripped(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """The notebook without outputs, counts and metadata but tags; an open notebook gives the same."""
    cells = []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cells.append({**cell, "source": "".join(cell["source"]), "metadata": {"tags": tags} if tags else {}})
        if cell["cell_type"] == "code":
            cells[-1] |= {"outputs": [], "execution_count": None}
    return {**notebook, "metadata": {"kernelspec": KERNEL}, "cells": cells}


def stripped_text(path: Path) -> str:
    """The file's text without outputs, as nbformat writes it. Raises StudyError if the file is no notebook."""
    try:
        notebook = stripped(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path}: is not a notebook ({one_line(error)})") from None
    for cell in notebook["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
