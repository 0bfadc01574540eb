"""The sources of pairs (pairs.source in params.yaml), by the names of their files."""

from bcdh_lib.core.registry import discover

SOURCES = discover(__name__, "SOURCE")
