"""Pairs of the study's own 3D models."""

from bcdh_lib.core.tables import read_table
from bcdh_lib.pairs.covisibility import PairTables, similar_pairs, split_members
from bcdh_lib.study import Study


def read(study: Study) -> PairTables:
    """The pairs that the models' tables give. Raises StudyError if too few groups have pairs."""
    settings = study.params.pairs
    registrations, tracks = (read_table(study.reconstruction, name) for name in ("registrations", "tracks"))
    pairs = similar_pairs(tracks, registrations, settings.min_shared, settings.max_scale_change)
    shares = {"validation": settings.validation_share, "test": settings.test_share}
    return pairs, split_members(registrations, pairs, shares, study.params.run.seed), {}


SOURCE = read, lambda study: [study.reconstruction / f"{name}.parquet" for name in ("registrations", "tracks")]
