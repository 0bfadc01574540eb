"""`bcdh learn`: 3D models of the user's photos, in a separate folder, and codes learned from them (own_learning.py).

params.yaml               the settings of the default network's study, with this folder of photos; edit it before learning
data/, work/              photos, 3D models, activations, fine-tuned blocks: a killed run continues from there
learned-BITS.safetensors  the networks for `bcdh index --model`
left_out.csv              the files that are not used, and why
learned.csv               the candidates that were compared, which one the network is, and why
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor

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
from bcdh_lib.search.own_learning import Learner, Places, learn
from bcdh_lib.study import Study
from bcdh_lib.training.checkpoint import save_checkpoint
from bcdh_lib.training.device import prepare
from bcdh_lib.training.encoding import cache_activations
from bcdh_lib.training.views import Views

BLOCK = 256
"""Photos whose activations are one file: a kill loses at most this many."""
FINE_TUNING = {"rounds": 20, "views": 0}
"""Settings of training.float_baseline that own learning's params.yaml begins with: at most 20 rounds, of plain photos alone."""


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
    settings["training"]["float_baseline"] |= FINE_TUNING
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
    """Compute what is missing. The tables of learned.csv and left_out.csv. Raises StudyError, also if another process learns."""
    with writing(study.root, "change --into"), locked(study.root / "lock"):
        prepare(study.params)
        collect_photos(study)
        left_out = read_table(study.photos, "left_out")
        write_bytes(study.root / "left_out.csv", left_out.to_csv(index=False).encode())
        reconstruct(study)
        learner = open_learner(study)
        networks, table = learn(learner, cache_photos(study, learner.default), read_places(study))
        chosen = table[table["chosen"]].set_index("bits")["codes"]
        for bits, network in networks.items():
            facts = {"method": chosen[bits], "default": learner.default.sha256, "settings": study.params.model_dump(mode="json")}
            save_checkpoint(learned_model(study, bits), network, facts)
        write_bytes(study.root / "learned.csv", table.to_csv(index=False, float_format="%.4f").encode())
    return table, [LeftOut(*row) for row in left_out.itertuples(index=False)]


def learned_model(study: Study, bits: int) -> Path:
    return study.root / f"learned-{bits}.safetensors"


def open_learner(study: Study) -> Learner:
    """Own learning in this study, which continues a killed run."""
    default, settings = default_network(), study.params.training.float_baseline
    inputs = [study.photos / "photos.parquet", study.reconstruction / "registrations.parquet"]
    folder = study.unfinished("fine_tuning", (default.sha256, settings, study.params.pairs), inputs, __name__)
    return Learner(default, settings, study.params.run.seed, folder)


def read_places(study: Study) -> Places:
    """The groups and similar pairs of the photos' 3D models."""
    registrations, tracks = (read_table(study.reconstruction, name) for name in ("registrations", "tracks"))
    pairs = similar_pairs(tracks, registrations, study.params.pairs.min_shared, study.params.pairs.max_scale_change)
    group = np.full(len(read_table(study.photos, "photos")), -1)
    group[registrations["photo_id"]] = registrations["group_id"]
    return Places(group, pairs[["query_id", "positive_id"]].to_numpy(np.int64))


def cache_photos(study: Study, default: DefaultNetwork) -> Tensor:
    """The activations of the default network's frozen blocks of every photo, half precision [n, 1, ...], in files of BLOCK."""
    settings = (default.sha256, study.params.network.side)
    folder = study.unfinished("activations", settings, [study.photos / "photos.parquet"], __name__)
    paths = [study.image(photo) for photo in read_table(study.photos, "photos")["photo_id"]]
    files = [folder / f"{start:08}.npy" for start in range(0, len(paths), BLOCK)]
    for start, file in zip(range(0, len(paths), BLOCK), files, strict=True):
        if not file.exists():
            views = Views(paths[start : start + BLOCK], default.baseline.settings.side)
            title = f"activations {start:,} of {len(paths):,}"
            activations = cache_activations(default.baseline, views, study.params.run.threads, title)
            write_array(file, (activations.half() if activations.is_floating_point() else activations).numpy())
    return torch.cat([torch.from_numpy(read_array(file)) for file in files])
