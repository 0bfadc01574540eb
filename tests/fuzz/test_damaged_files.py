"""Damaged files of the formats that strangers bring: each is read, left out or refused in one line, and nothing else happens.

Hypothesis cuts a valid file, flips bits in it, and overwrites, inserts or repeats bytes, always the same ones (derandomized).
Memory is limited, so that a header that announces terabytes shows.
"""

import resource
import shutil
from collections import namedtuple
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pycolmap
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.pairs.sources.retrieval_sfm import read_published_pairs
from bcdh_lib.params import load_params
from bcdh_lib.photos.decoding import FORMATS, prepare_process
from bcdh_lib.photos.photo_file import LeftOut, decode_file
from bcdh_lib.reconstruction.models import open_model, write_model
from bcdh_lib.retrieval.benchmarks.oxford_paris import read_oxford_paris
from bcdh_lib.retrieval.benchmarks.revisited import read_revisited
from bcdh_lib.search.photo_index import Facts, open_index, publish
from bcdh_lib.study import find_root
from bcdh_lib.training.checkpoint import load_checkpoint, save_checkpoint
from bcdh_lib.training.network import HashNetwork
from tests.pairs.test_retrieval_sfm import published_photos, write_database
from tests.retrieval.benchmarks import conftest as benchmarks

SETTINGS = find_root() / "params.yaml"
PARAMS = load_params(SETTINGS, {"network": {"frozen_blocks": 0}, "photos": {"min_side": 16, "max_side": 64}})
MEMORY = 1 << 31  # bytes that a reader may take; the samples need a thousandth
CHECKPOINT = ("json", "safetensors")
INDEX_FILES = ("index.json", "*/photos.parquet", "*/codes.npy", "*/centre.npy")

# `write` makes a file and its neighbours in an empty folder, `read` reads the folder; `damaged`: the damaged file, a pattern.
Sample = namedtuple("Sample", "name write read damaged examples", defaults=[30])


def write_photo(form, folder):
    prepare_process()
    exif = Image.Exif()
    exif.update({271: "Maker", 274: 6})
    exif.get_ifd(0x8769).update({37386: 35.0})
    options = {"exif": exif} if form in ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF") else {}
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
    coarse.resize((96, 72), Image.Resampling.BICUBIC).save(folder / "photo", form, **options)


def read_photo(folder):
    outcome = decode_file(("photo", folder / "photo"), PARAMS.photos)
    assert isinstance(outcome, LeftOut) or max(outcome[1].rgb.size) <= PARAMS.photos.max_side


def write_text(folder):
    benchmarks.save_text(benchmarks.save_photos(folder / "jpg", benchmarks.DATABASE))
    (folder / "groundtruth/hall_1_ok.txt").write_text("b")


def write_gnd(truth, folder):
    benchmarks.save_truth(benchmarks.save_photos(folder / "jpg", benchmarks.DATABASE + benchmarks.QUERIES), truth())


def read_marks(read, folder):
    benchmark = read(folder)
    assert benchmark.positive().shape == benchmark.junk().shape == (len(benchmark.queries), len(benchmark.photos))
    assert not (benchmark.positive() & benchmark.junk()).any()


read_oxford = partial(read_marks, read_oxford_paris)
read_hard = partial(read_marks, partial(read_revisited, protocol="hard"))


def write_checkpoint(folder):
    torch.manual_seed(0)
    save_checkpoint(folder / "dsh-16.safetensors", HashNetwork(PARAMS.network, 16, pretrained=False), {"method": "dsh"})


def write_index(folder):
    rows = pd.DataFrame({"path": benchmarks.DATABASE, "size": 1, "mtime_ns": 1, "sha256": "0" * 64})
    codes = np.random.default_rng(0).integers(0, 256, (len(rows), 2), np.uint8)
    publish(folder, Facts(model="0" * 64, photos=PARAMS.photos), rows, codes, np.zeros(16), [LeftOut("a", "empty", "")])


def read_index(folder):
    index = open_index(folder)
    assert len(index.photos()) == len(index.codes)


def write_colmap(folder):
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 1, 1, 4, 12
    write_model(pycolmap.synthesize_dataset(options), folder)


SAMPLES = [
    *(Sample(f"photo {form}", partial(write_photo, form), read_photo, "photo") for form in FORMATS if form != "PSD"),
    *(Sample(f"text {part}", write_text, read_oxford, f"groundtruth/*_{part}.txt") for part in ("query", "good", "ok", "junk")),
    Sample("gnd", partial(write_gnd, benchmarks.original_truth), read_oxford, "gnd_*.pkl", 100),
    Sample("gnd revisited", partial(write_gnd, benchmarks.revisited_truth), read_hard, "gnd_*.pkl", 100),
    Sample("retrieval-SfM", write_database, lambda at: read_published_pairs(at / "sfm.pkl", published_photos()), "*", 100),
    Sample("settings", partial(shutil.copy, SETTINGS), lambda at: load_params(at / "params.yaml"), "*", 60),
    *(Sample(end, write_checkpoint, lambda at: load_checkpoint(at / "dsh-16.safetensors"), f"*.{end}", 12) for end in CHECKPOINT),
    *(Sample(f"index {file}", write_index, read_index, file) for file in INDEX_FILES),
    *(Sample(f"COLMAP {name}", write_colmap, open_model, name) for name in ("images.bin", "points3D.bin", "SHA256SUMS")),
]


@st.composite
def damage(draw, content):
    """The content cut, or with bits flipped, bytes overwritten, inserted or repeated; most often in the first hundred bytes."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        last = max(len(damaged) - 1, 0)
        at = draw(st.one_of(st.integers(0, min(last, 100)), st.integers(0, last)))
        match draw(st.sampled_from(["cut", "flip", "overwrite", "insert", "repeat"])):
            case "cut":
                del damaged[at:]
            case "flip" if damaged:
                damaged[at] ^= 1 << draw(st.integers(0, 7))
            case "overwrite":
                number = draw(st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\xff" * 8]))
                damaged[at : at + len(number)] = number
            case "insert":
                damaged[at:at] = draw(st.binary(min_size=1, max_size=8))
            case _:
                damaged[at:at] = damaged[at : at + draw(st.integers(1, 200))]
    return bytes(damaged)


@contextmanager
def limited_memory(size):
    """This process may take `size` bytes more than now; beyond, allocations fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_damaged_file_is_read_left_out_or_refused_in_one_line(sample, tmp_path):
    sample.write(tmp_path)
    sample.read(tmp_path)
    (path,) = tmp_path.glob(sample.damaged)
    content = path.read_bytes()

    @settings(max_examples=sample.examples, derandomize=True, database=None, deadline=None, suppress_health_check=HealthCheck)
    @given(damage(content))
    def read_damaged(damaged):
        path.write_bytes(damaged)
        try:
            with limited_memory(MEMORY):
                sample.read(tmp_path)
        except StudyError as error:
            lines = str(error).splitlines()
            assert all(str(tmp_path) in line for line in lines) or len(lines) == 1
            assert all(line.isprintable() for line in lines)

    read_damaged()
