"""Whether codes learned by `bcdh learn` serve places that it never saw: against the default network's and against shallow codes.

    python performance/own_learning.py STUDY...

Writes reports/own_learning.csv. STUDY is a folder of `bcdh learn`, or any study with photos and 3D models. In each of SPLITS
splits, places (groups of 3D models) with about a third of the photos in models are held apart, never the largest one. Learning
sees all other photos. Each held-apart photo is a query among the others; all codes are recentred on them, as in an index. LSH,
PCA signs and ITQ are fitted to the same vectors. `difference` is the mAP less the default network's, `lowest` that of the worst
split.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import trange

from bcdh_lib.core.codes import asymmetric_distances, distances, pack
from bcdh_lib.core.files import write_bytes
from bcdh_lib.core.metrics import average_precision, ties_of_distances
from bcdh_lib.retrieval.shallow import fit_shallow
from bcdh_lib.search.own_learning import Learner, Places, candidates, learn
from bcdh_lib.search.own_study import cache_photos, open_learner, read_places
from bcdh_lib.study import find_root, open_study
from bcdh_lib.training.device import prepare
from bcdh_lib.training.encoding import encode
from bcdh_lib.training.hash_layer import assemble

SPLITS, SHARE = 5, 0.3
SHALLOW = {"lsh": "LSH", "pcah": "PCA signs", "itq": "ITQ"}


def held_apart(group: NDArray, split: int) -> NDArray:
    """Places with about SHARE of the photos, drawn with the split's number."""
    sizes = pd.Series(group).value_counts()
    drawn = np.random.default_rng(split).permutation(sizes.index[1:])
    return drawn[: max(2, int(np.searchsorted(sizes[drawn].cumsum(), SHARE * len(group))))]


def contestants(
    learner: Learner, activations: Tensor, vectors: NDArray, places: Places, tested: NDArray
) -> Iterator[tuple[str, str, int, NDArray]]:
    """Every contestant: its name, which candidate it is, its code length, and its outputs of the tested photos."""
    stays, queries = ~tested, activations[torch.from_numpy(tested)]
    seen, known = activations[torch.from_numpy(stays)], places.among(stays)
    networks, table = learn(learner, seen, known)
    chosen = table[table["chosen"]].set_index("bits")["codes"]
    for bits, network in networks.items():
        yield "learned", chosen[bits], bits, encode(network, queries).numpy()
    for name, candidate in candidates(learner, seen, vectors[stays], known, held=np.array([])):
        for bits, layer in candidate.layers.items():
            yield name, "", bits, encode(assemble(candidate.baseline, layer), queries).numpy()
    for bits in learner.default.layers:
        for method, name in SHALLOW.items():
            if min(vectors[stays].shape) >= bits:
                yield name, "", bits, fit_shallow(method, vectors[stays], bits, learner.seed)(vectors[tested])


def maps(outputs: NDArray, group: NDArray) -> dict[str, float]:
    """mAP by each scoring, every photo a query among the others."""
    outputs = outputs - outputs.mean(0)
    codes, same, itself = pack(outputs), group[:, None] == group, np.eye(len(group), dtype=bool)
    scorings = {"recentred": distances(codes, codes), "asymmetric": asymmetric_distances(outputs, codes)}
    return {
        scoring: float(np.nanmean(average_precision(ties_of_distances(each, same, itself), "rectangle")))
        for scoring, each in scorings.items()
    }


def measure(root: Path) -> pd.DataFrame:
    """A row a split, code length, contestant and scoring."""
    study = open_study(root=root)
    prepare(study.params)
    learner, places = open_learner(study), read_places(study)
    activations = cache_photos(study, learner.default)
    vectors, found = encode(learner.default.baseline, activations).numpy(), []
    for split in trange(SPLITS, desc=root.name, unit="split"):
        held = held_apart(places.group[places.group >= 0], split)
        tested = np.isin(places.group, held)
        for name, chosen, bits, outputs in contestants(learner, activations, vectors, places, tested):
            for scoring, value in maps(outputs, places.group[tested]).items():
                found.append((split, bits, name, chosen, scoring, value, tested.sum(), len(held)))
    columns = ["split", "bits", "codes", "chosen", "scoring", "map", "queries", "places"]
    return pd.DataFrame(found, columns=columns).assign(study=root.name)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the splits, and the difference from the default network's codes of the same split."""
    key = ["study", "bits", "scoring", "split"]
    default = table[table["codes"] == "default"].set_index(key)["map"]
    table = table.assign(difference=table["map"] - default.reindex(pd.MultiIndex.from_frame(table[key])).to_numpy())
    grouped = table.groupby(["study", "bits", "scoring", "codes"], sort=False)
    means = grouped[["map", "difference", "queries", "places"]].mean()
    means["lowest"] = grouped["difference"].min()
    chosen = table[table["codes"] == "learned"].groupby(["study", "bits", "scoring"])["chosen"]
    print(chosen.value_counts().unstack(fill_value=0).to_string())
    return means.reset_index()


if __name__ == "__main__":
    result = pd.concat([measure(Path(argument).absolute()) for argument in sys.argv[1:]])
    short = summary(result)
    print(short.to_string(index=False))
    path = find_root(Path(__file__).parent) / "reports/own_learning.csv"
    write_bytes(path, short.to_csv(index=False, float_format="%.4f").encode())
