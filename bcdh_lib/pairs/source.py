"""What a source of pairs is. Each file of pairs/sources defines one, as SOURCE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bcdh_lib.study import Study


class PairTables(NamedTuple):
    """What a source gives."""

    pairs: pd.DataFrame  # the table `pairs`
    members: pd.DataFrame  # the table `members`
    left_out: dict[str, int]  # pairs left out, by reason


class PairSource(NamedTuple):
    """A source of pairs. Both functions raise StudyError if a setting that the source needs is missing."""

    read: Callable[[Study], PairTables]
    inputs: Callable[[Study], list[Path]]  # the files that it reads
