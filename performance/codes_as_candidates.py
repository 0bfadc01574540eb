"""Learned codes beside SIFT words as candidates, at an equal budget of pairs: photos registered, models, similar pairs.

    python performance/codes_as_candidates.py PILE FOLDER [TRAINED_ON=CHECKPOINT ...]

FOLDER is a study whose photos stage is done, PILE what the figures are called in reports/candidates_codes.json, which keeps
those of other piles; TRAINED_ON says in a word what a checkpoint was trained on. A pair's verified matches do not depend on the
other pairs, nor a component's models on the other components: each pair is matched once, whoever proposes it, and each component
mapped once. A killed run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcdh_lib.comparison.provenance import digest_of
from bcdh_lib.core.code import LIBRARY
from bcdh_lib.core.codes import pack
from bcdh_lib.core.files import write_array, write_json
from bcdh_lib.core.parallel import side_by_side
from bcdh_lib.core.tables import read_table
from bcdh_lib.pairs.covisibility import similar_pairs
from bcdh_lib.reconstruction import divide, extract_features, propose_candidates, search_matches, verify_matches, write_models
from bcdh_lib.reconstruction.encoding import encode, nearest
from bcdh_lib.reconstruction.matches import components
from bcdh_lib.reconstruction.models import Component, map_component
from bcdh_lib.study import Study, find_root, open_study
from bcdh_lib.training.network import load_checkpoint

BUDGETS = (2, 5, 15)  # neighbours a photo; the pairs that words so propose are the budget of all
HOW = (
    "neighbours: that many nearest photos of each, without further rounds; codes' pairs in the order of their place among the "
    "nearest, as many as words'. three rounds: as the study searches; codes with the largest far_neighbours whose pairs are no "
    "more than words'. Pairs are matched once, whoever proposes them, and looked up; mapping is COLMAP's for every set."
)
Verify = Callable[[np.ndarray], pd.DataFrame]


def compare(study: Study, work: Path, checkpoints: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """A row of figures a way to propose and budget, given anew after each step: first all that matching says, then the models.

    checkpoints: paths, by TRAINED_ON/NAME.
    """
    database = work / "database.db"
    features = extract_features(study, database, read_table(study.photos, "photos").photo_id.tolist())
    photo_ids = features.index[features > 0].to_numpy()
    proposals = {"words": _kept(work, "words", lambda: propose_candidates(study, database, photo_ids.tolist()))}
    for name, path in checkpoints.items():
        proposals[name] = _kept(work, name, partial(_by_codes, study, path, photo_ids))
    rows: list[dict[str, Any]] = []
    found = {
        "photos": len(features),
        "trained_on_this_very_pile": [name for name, path in checkpoints.items() if _is_own(study, path)],
        "rows": rows,
    }
    sets = list(_sets(study, proposals, partial(verify_matches, study, database)))
    for facts, matches in sets:
        rows.append(facts | _matched(study, matches))
    yield found
    for row, (_, matches) in zip(rows, sets, strict=True):
        row |= _mapped(study, database, matches, work)
        yield found


def _sets(study: Study, proposals: dict[str, np.ndarray], verify: Verify) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Way and budget of each row, and the matches of its pairs; words first of each budget, which they set."""
    words = proposals["words"]
    for neighbours in BUDGETS:
        budget = len(first_pairs(words[words[:, 2] < neighbours], None))
        for way, proposed in proposals.items():
            yield {"way": way, "budget": f"{neighbours} neighbours"}, verify(first_pairs(proposed, budget))
    limit = None
    for way, proposed in proposals.items():
        far, matches = _three_rounds(study, proposed, verify, limit)
        limit = len(matches) if limit is None else limit
        yield {"way": way, "budget": "three rounds", "far_neighbours": far}, matches


def first_pairs(proposals: np.ndarray, budget: int | None) -> np.ndarray:
    """The first `budget` pairs (None: all) in the order of the place among the nearest, then of the ids; sorted, none twice."""
    order = np.lexsort((proposals[:, 1], proposals[:, 0], proposals[:, 2]))
    pairs = np.sort(proposals[order, :2], axis=1)
    return np.unique(pairs[np.sort(np.unique(pairs, axis=0, return_index=True)[1])[:budget]], axis=0)


def _three_rounds(study: Study, proposals: np.ndarray, verify: Verify, limit: int | None) -> tuple[int, pd.DataFrame]:
    """far_neighbours, the study's or the largest that tries no more than `limit` pairs, and the matches that it gives."""
    settings = study.params.reconstruction

    def search(far: int) -> pd.DataFrame:
        near = proposals[proposals[:, 2] < max(settings.neighbours, far)]
        return search_matches(near, settings.model_copy(update={"far_neighbours": far}), verify)

    fits, fails = 0, settings.far_neighbours + 1
    if limit is None:
        return settings.far_neighbours, search(settings.far_neighbours)
    while fails - fits > 1:
        far = (fits + fails) // 2
        fits, fails = (far, fails) if len(search(far)) <= limit else (fits, far)
    return fits, search(fits)


def _kept(work: Path, name: str, propose: Callable[[], np.ndarray]) -> np.ndarray:
    """Proposals, found once."""
    kept = work / f"proposals/{name}.npy"
    if not kept.exists():
        write_array(kept, propose())
    return np.load(kept)


def _by_codes(study: Study, checkpoint: Path, photo_ids: np.ndarray) -> np.ndarray:
    """As `propose_candidates`, of any checkpoint: this study's own too, which the study itself must not take."""
    network, settings = load_checkpoint(checkpoint)[0], study.params.reconstruction
    outputs = encode(network, [study.image(photo) for photo in photo_ids], study.params.run.threads)
    proposals = nearest(outputs if network.bits is None else pack(outputs), max(settings.neighbours, settings.far_neighbours))
    return np.column_stack([photo_ids[proposals[:, 0]], photo_ids[proposals[:, 1]], proposals[:, 2]])


def _is_own(study: Study, checkpoint: Path) -> bool:
    """Whether it was trained on pairs of this very pile."""
    pairs = study.pairs / "pairs.parquet"
    return pairs.exists() and load_checkpoint(checkpoint)[1].get("pairs") == hashlib.sha256(pairs.read_bytes()).hexdigest()


def _matched(study: Study, matches: pd.DataFrame) -> dict[str, int]:
    """joined: photos that verified matches connect into parts large enough for a model; COLMAP registers no others."""
    settings = study.params.reconstruction
    edges = matches.loc[matches.inliers >= settings.min_inliers, ["photo_id", "other_id"]].to_numpy()
    joined = [len(photos) for photos in components(edges) if len(photos) >= settings.min_model_size]
    return {"pairs": len(matches), "verified_pairs": len(edges), "joined": sum(joined)}


def _mapped(study: Study, database: Path, matches: pd.DataFrame, work: Path) -> dict[str, int]:
    settings, pairing = study.params.reconstruction, study.params.pairs
    parts = [part for part in divide(study, _map(study, database, matches, work)) if len(part.photos) >= settings.min_model_size]
    with tempfile.TemporaryDirectory(dir=work, prefix="written-") as written:
        registrations, tracks = write_models(parts, Path(written))
    return {
        "registered": len(registrations),
        "models": len(parts),
        "similar_pairs": len(similar_pairs(tracks, registrations, pairing.min_shared, pairing.max_scale_change)),
    }


def _map(study: Study, database: Path, matches: pd.DataFrame, work: Path) -> list[Path]:
    """As `build_models`, with a component's folder named by its pairs, so that every set of candidates finds it again."""
    settings = study.params.reconstruction
    edges = matches.loc[matches.inliers >= settings.min_inliers, ["photo_id", "other_id"]].to_numpy()
    jobs = []
    for photos in components(edges):
        pairs = edges[np.isin(edges[:, 0], photos)]
        if len(photos) >= settings.min_model_size:
            jobs.append(Component(photos, pairs, work / "models" / digest_of([], str(pairs.tolist()))))
    (work / "models").mkdir(exist_ok=True)
    missing = [job for job in jobs if not job.folder.exists()]
    for _ in side_by_side(partial(map_component, study, database), missing, study.params.run.threads):
        pass
    return [model for job in jobs for model in sorted(job.folder.iterdir(), key=lambda model: int(model.name))]


def _named(arguments: Sequence[str]) -> dict[str, Path]:
    """TRAINED_ON=CHECKPOINT ... as paths by TRAINED_ON/NAME."""
    split = [argument.partition("=") for argument in arguments]
    return {f"{trained_on}/{Path(path).stem}": Path(path) for trained_on, _, path in split}


if __name__ == "__main__":
    pile, folder, *given = sys.argv[1:]
    study = open_study(root=Path(folder).resolve())
    settings = (study.params.photos, study.params.reconstruction, study.params.pairs)
    inputs = [study.photos / "photos.parquet", LIBRARY / "reconstruction", LIBRARY / "photos"]
    work = study.unfinished("codes_as_candidates", settings, inputs)
    report = find_root() / "reports/candidates_codes.json"
    known = json.loads(report.read_text(encoding="utf-8"))["piles"] if report.exists() else {}
    for comparison in compare(study, work, _named(given)):
        write_json(report, {"how": HOW, "piles": known | {pile: comparison}})
    study.forget("codes_as_candidates")
