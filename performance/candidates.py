"""What the candidate pairs miss: their models compared with those of exhaustive matching, on the study's own photos.

    python performance/candidates.py [FOLDER OF THE STUDY]

Run it after `dvc repro photos`; it writes reports/candidates.json. Exhaustive matching of 752 photos takes about 20 minutes on 2
idle cores. A killed run goes on where it stopped. A pair's verified matches do not depend on the other pairs, so all pairs are
matched once, and the proposed ones are looked up among them.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcdh_lib.core.files import write_json
from bcdh_lib.core.tables import read_table
from bcdh_lib.reconstruction.candidates import all_pairs, propose_candidates, search_matches
from bcdh_lib.reconstruction.database import pair_ids
from bcdh_lib.reconstruction.features import extract_features
from bcdh_lib.reconstruction.matches import verify_matches
from bcdh_lib.reconstruction.models import build_models, divide
from bcdh_lib.study import Study, find_root, open_study


def compare(study: Study) -> dict[str, Any]:
    """Pairs tried, photos registered and models, by the study's candidates and by all pairs."""
    settings = (study.params.photos, study.params.reconstruction)
    work = study.unfinished("candidates", settings, [study.photos / "photos.parquet"], "bcdh_lib.reconstruction.reconstruct")
    database = work / "database.db"
    features = extract_features(study, database, read_table(study.photos, "photos").photo_id.tolist())
    photo_ids = features.index[features > 0].tolist()
    proposals = propose_candidates(study, database, photo_ids)
    exhaustive = verify_matches(study, database, all_pairs(photo_ids))
    numbers = pair_ids(exhaustive[["photo_id", "other_id"]].to_numpy())
    own = search_matches(proposals, study.params.reconstruction, lambda pairs: exhaustive[np.isin(numbers, pair_ids(pairs))])
    found = {
        "proposed": _models(study, database, own, work / "proposed"),
        "exhaustive": _models(study, database, exhaustive, work / "exhaustive"),
    }
    return {
        "candidates": study.params.reconstruction.candidates,
        "neighbours": study.params.reconstruction.neighbours,
        "far_neighbours": study.params.reconstruction.far_neighbours,
        "photos": len(features),
        **found,
        "share_of_pairs": round(len(own) / max(len(exhaustive), 1), 4),
        "share_of_registered": round(found["proposed"]["registered"] / max(found["exhaustive"]["registered"], 1), 4),
    }


def _models(study: Study, database: Path, matches: pd.DataFrame, folder: Path) -> dict[str, int]:
    settings = study.params.reconstruction
    parts = divide(study, build_models(study, database, matches, folder))
    sizes = [len(part.photos) for part in parts if len(part.photos) >= settings.min_model_size]
    verified = int((matches.inliers >= settings.min_inliers).sum())
    return {"pairs": len(matches), "verified_pairs": verified, "registered": sum(sizes), "models": len(sizes)}


if __name__ == "__main__":
    study = open_study(root=Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else find_root())
    comparison = compare(study)
    write_json(study.reports / "candidates.json", comparison)
    study.forget("candidates")
    print(json.dumps(comparison, indent=2))
