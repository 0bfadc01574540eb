"""Registry of pair sources (pairs.source in params.yaml), one file each: a source's module defines SOURCE = read, inputs.

`read(study)` returns its PairTables, `inputs(study)` the files that it reads. Both raise StudyError if a setting is missing.
"""

from bcdh_lib.core.registry import discover

SOURCES = discover(__name__, "SOURCE")
