"""The hardest dissimilar pairs before training: photos of other groups that the pretrained network finds most similar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bcdh_lib.study import Study
from bcdh_lib.training.device import device, prepare
from bcdh_lib.training.encoding import cache_activations, encode
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.views import Views


def pretrained_vectors(study: Study, photo_ids: Sequence[int]) -> NDArray[np.float32]:
    """Unit vectors [n, d] of photos by the pretrained network, nothing learned."""
    prepare(study.params)
    network = HashNetwork(study.params.network, bits=None).to(device()).eval()
    views = Views([study.image(photo) for photo in photo_ids], study.params.network.side)
    vectors = encode(network, cache_activations(network, views, study.params.run.threads, "pretrained vectors"))
    return vectors.numpy()


def hardest_dissimilar(vectors: NDArray[np.floating], members: pd.DataFrame, query_id: int, wanted: int) -> pd.DataFrame:
    """The photos of other groups that are most similar to the query, at most one a group, as training mines negatives.

    vectors [n, d] are unit vectors of the photos of the table `members`, in its order; the query is among them. Returns photo_id,
    model_id, similarity (cosine), most similar first; of equals the first in the table.
    """
    row = int(np.flatnonzero(members["photo_id"] == query_id)[0])
    scored = members.assign(similarity=vectors @ vectors[row])
    others = scored[scored["group_id"] != members["group_id"].iloc[row]].sort_values("similarity", ascending=False, kind="stable")
    return others.drop_duplicates("group_id")[["photo_id", "model_id", "similarity"]].head(wanted)
