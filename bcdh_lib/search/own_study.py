"""`bcdh learn`: 3D models of the user's photos, in a separate folder, and codes learned from them (own_learning.py).

params.yaml               the settings of the default network's study, with this folder of photos; edit it before learning
data/, work/              photos, 3D models and vectors: a killed run continues from there
learned-BITS.safetensors  the networks for `bcdh index --model`
left_out.csv              the files that are not used, and why
learned.csv               the candidates that were compared, which one the network is, and why
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import locked, read_array, write_array, write_bytes, writing
from bcdh_lib.core.tables import read_table
from bcdh_lib.pairs.covisibility import similar_pairs
from bcdh_lib.params import load_params
from bcdh_lib.photos.collect import collect_photos
from bcdh_lib.photos.folder import path_in_table
from bcdh_lib.photos.photo_file import LeftOut
from bcdh_lib.reconstruction.reconstruct import reconstruct
from bcdh_lib.search.default_network.files import DefaultNetwork, default_network, default_settings
from bcdh_lib.search.own_learning import OwnPhotos, learn
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import save_checkpoint
from bcdh_lib.training.device import prepare
from bcdh_lib.training.encoding import cache_activations, encode
from bcdh_lib.training.hash_layer import assemble
from bcdh_lib.training.views import Views

BLOCK = 256
"""Photos whose vectors are one file: a kill loses at most this many."""


def prepare_study(photos: Path, into: Path, exclude: Sequence[str] = ()) -> bool:
    """Make the folder `into` with its params.yaml, if it has none yet; tells whether it did. Raises StudyError."""
    _check_places(photos, into)
    named = path_in_table(photos.resolve())
    if (into / "params.yaml").is_file():
        folder = load_params(into / "params.yaml").photos.folder
        if folder != named:
            raise StudyError(f"{into / 'params.yaml'}: photos.folder is {folder}, not {photos}; name another folder with --into")
        return False
    settings = default_settings().model_dump(mode="json")
    settings["photos"] |= {"source": "folder", "folder": named, "exclude": list(exclude)}
    settings["run"]["threads"] = os.cpu_count() or 1
    head = "# Settings of `bcdh learn`; each one is explained in the params.yaml of the study.\n"
    text = head + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    with writing(into, "change --into"):
        write_bytes(into / "params.yaml", text.encode())
    return True


def _check_places(photos: Path, into: Path) -> None:
    if not photos.is_dir():
        raise StudyError(f"{photos}: {'is a file' if photos.exists() else 'does not exist'}; name the folder of your photos")
    if into.resolve().is_relative_to(photos.resolve()) or photos.resolve().is_relative_to(into.resolve()):
        raise StudyError(f"{into}: the folders of study and photos must not contain each other; name another --into")
    if any("\ud800" <= each <= "\udfff" for each in str(into)):
        raise StudyError(f"{path_in_table(into)}: is not UTF-8, which COLMAP cannot open; name another folder with --into")
    strange = {path.name for path in into.glob("*")} - {"params.yaml.part"}
    if (into.exists() and not into.is_dir()) or (strange and not (into / "params.yaml").is_file()):
        raise StudyError(f"{into}: exists and is no folder of bcdh learn; name another folder with --into")


def learn_from(study: Study) -> tuple[pd.DataFrame, list[LeftOut]]:
    """Compute what is missing: photos, 3D models, vectors, networks. The tables of learned.csv and left_out.csv.

    Raises StudyError, also if another process learns there.
    """
    with writing(study.root, "change --into"), locked(study.root / "lock"):
        prepare(study.params)
        collect_photos(study)
        left_out = read_table(study.photos, "left_out")
        write_bytes(study.root / "left_out.csv", left_out.to_csv(index=False).encode())
        reconstruct(study)
        default = default_network()
        layers, table = learn(default, read_own_photos(study, default), study.params.run.seed)
        chosen = table[table["chosen"]].set_index("bits")["codes"]
        for bits, layer in layers.items():
            facts = {"method": chosen[bits], "default": default.sha256, "settings": study.params.model_dump(mode="json")}
            save_checkpoint(learned_model(study, bits), assemble(default.baseline, layer), facts)
        write_bytes(study.root / "learned.csv", table.to_csv(index=False, float_format="%.4f").encode())
    return table, [LeftOut(*row) for row in left_out.itertuples(index=False)]


def learned_model(study: Study, bits: int) -> Path:
    return study.root / f"learned-{bits}.safetensors"


def read_own_photos(study: Study, default: DefaultNetwork) -> OwnPhotos:
    """The photos of the study as vectors, with the groups and similar pairs of their 3D models."""
    vectors = encode_photos(study, default)
    registrations, tracks = (read_table(study.reconstruction, name) for name in ("registrations", "tracks"))
    pairs = similar_pairs(tracks, registrations, study.params.pairs.min_shared, study.params.pairs.max_scale_change)
    group = np.full(len(vectors), -1)
    group[registrations["photo_id"]] = registrations["group_id"]
    return OwnPhotos(vectors, group, pairs[["query_id", "positive_id"]].to_numpy(np.int64))


def encode_photos(study: Study, default: DefaultNetwork) -> NDArray[np.float32]:
    """The default network's vectors of every photo, [n, d], in files of BLOCK photos."""
    settings = (default.sha256, study.params.network.side)
    folder = study.unfinished("vectors", settings, [study.photos / "photos.parquet"], __name__)
    paths = [study.image(photo) for photo in read_table(study.photos, "photos")["photo_id"]]
    for start in range(0, len(paths), BLOCK):
        file = folder / f"{start:08}.npy"
        if not file.exists():
            views = Views(paths[start : start + BLOCK], default.baseline.settings.side)
            title = f"vectors {start:,} of {len(paths):,}"
            activations = cache_activations(default.baseline, views, study.params.run.threads, title)
            write_array(file, encode(default.baseline, activations).numpy())
    return np.concatenate([read_array(file) for file in sorted(folder.glob("*.npy"))])
