"""Moved to codes.py."""

from bcdh_lib.core.codes import Centre, Codes, centre_of, pack_around


def pack_recentred(queries, database) -> tuple[Codes, Codes]:  # type: ignore[no-untyped-def]
    """Codes about the mean output of the database."""
    centre = centre_of([database])
    return pack_around(queries, centre), pack_around(database, centre)


__all__ = ["Centre", "centre_of", "pack_around", "pack_recentred"]
