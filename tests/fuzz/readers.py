"""Every reader of the library, with a valid sample that it reads and the errors that it may answer with."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import struct
import tarfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import faiss
import nbformat
import numpy as np
import pandas as pd
import pillow_heif
import pyarrow as pa
import pycolmap
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

from bcdh_lib.comparison.metrics import write_metrics
from bcdh_lib.comparison.plan import load_plan
from bcdh_lib.core.code import LIBRARY
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import write_array, write_json
from bcdh_lib.core.plain_pickle import PickleError
from bcdh_lib.core.tables import TABLES, read_figures, read_table, write_table
from bcdh_lib.pairs.sources.retrieval_sfm import photo_path, read_published_pairs
from bcdh_lib.params import Photos, load_params
from bcdh_lib.photos import folder as photo_folder
from bcdh_lib.photos.decoding import prepare_process
from bcdh_lib.photos.folder import LeftOut, Photo, find_files, path_from_table, path_in_table, take
from bcdh_lib.report.article import read_article
from bcdh_lib.report.execute import read_notebook
from bcdh_lib.report.headline import read_metrics
from bcdh_lib.retrieval.benchmarks import Query, require_photos
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark
from bcdh_lib.retrieval.benchmarks.holidays import read_holidays
from bcdh_lib.retrieval.benchmarks.oxford_paris import read_oxford_paris
from bcdh_lib.retrieval.benchmarks.revisited import PROTOCOLS, read_revisited
from bcdh_lib.retrieval.download import _read_digests, unpack
from bcdh_lib.retrieval.score import System, load_codes
from bcdh_lib.search import large_search
from bcdh_lib.search.contact_sheet import thumbnail
from bcdh_lib.search.encoder import Encoded
from bcdh_lib.search.ledger import Ledger, note
from bcdh_lib.search.own_study import settings_for, with_settings
from bcdh_lib.search.photo_index import ROW, Block, Facts, open_index, publish
from bcdh_lib.study import Study, open_study
from bcdh_lib.training.checkpoint import load_checkpoint, save_checkpoint
from bcdh_lib.training.network import HashNetwork
from bcdh_lib.training.views import Views

from . import mutations
from .mutations import Mutation

ROOT = LIBRARY.parent
BITS, ROWS = 16, 40


class Skipped(Exception):
    """A file that was left out and counted: the message is its row of left_out."""


@dataclass(frozen=True)
class Reader:
    """A reader on a sample that `make` writes into an empty folder.

    mutated: the files of the sample that are damaged, as a pattern; lines: whether an error may be of several lines; changes:
    whether a file of the sample is one that the reader may change, by its path in the sample.
    """

    name: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    mutations: list[Mutation]
    faults: tuple[type[Exception], ...] = ()
    mutated: str = "*"
    weight: int = 20
    lines: bool = False
    changes: Callable[[str], bool] = lambda _: False


@cache
def study_in(folder: Path) -> Study:
    """A study in the folder, with this study's settings."""
    study = open_study({"run": {"threads": 1}, "network": {"side": 64, "frozen_blocks": 15}}, ROOT)
    return Study(folder, study.params)


LIMITS = Photos(source="folder", folder="photos", max_side=64, min_side=16, max_megapixels=2.0)


def picture(seed: int = 0, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """A coarse picture with a little noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(coarse) // 2 + random.integers(0, 32, (size[1], size[0], 3))).astype(np.uint8))


# photos


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif.update({271: "Maker", 272: "Camera", 274: 6})
    exif.get_ifd(0x8769).update({37386: 35.0, 41989: 50})
    exif.get_ifd(0x8825).update({1: "N"})
    return exif


def _write_photo(form: str, folder: Path) -> None:
    prepare_process()
    path, rgb = folder / "photo", picture()
    match form:
        case "JPEG":
            from PIL import ImageCms

            profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
            rgb.save(path, "JPEG", exif=_exif(), icc_profile=profile, progressive=True)
            rgb.convert("CMYK").save(folder / "cmyk", "JPEG", exif=_exif())
        case "PNG":
            rgb.convert("P").save(path, "PNG", transparency=3, exif=_exif())
            Image.fromarray(np.arange(96 * 72, dtype=np.uint16).reshape(72, 96)).save(folder / "sixteen", "PNG")
        case "TIFF":
            rgb.save(path, "TIFF", compression="tiff_lzw", exif=_exif())
            Image.fromarray(np.linspace(-1, 1, 96 * 72, dtype=np.float32).reshape(72, 96)).save(folder / "floats", "TIFF")
        case "GIF":
            rgb.convert("P").save(path, "GIF", save_all=True, append_images=[picture(1).convert("P")])
        case "PCX" | "SGI" | "PPM" | "BMP" | "QOI" | "JPEG2000":
            rgb.save(path, form)
        case "PSD":
            channels = np.asarray(rgb).transpose(2, 0, 1).tobytes()
            path.write_bytes(b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 72, 96, 8, 3) + bytes(12) + b"\0\0" + channels)
        case _:
            rgb.save(path, form, exif=_exif())


def _take(folder: Path) -> None:
    prepare_process()
    copies = folder.with_name(f"{folder.name}-copies")
    copies.mkdir(exist_ok=True)
    files, _ = find_files(folder)
    for job in files.items():
        outcome = take(job, LIMITS, copies)
        for copy in copies.iterdir():
            assert copy.name == outcome.sha256
            assert Image.open(copy).size[0] <= LIMITS.max_side
            copy.unlink()
        if isinstance(outcome, LeftOut):
            raise Skipped(f"{folder}/{outcome.path}: {outcome.reason} ({outcome.detail})")


def _photo_readers() -> list[Reader]:
    forms = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "HEIF", "AVIF", "JPEG2000", "PPM", "PSD", "PCX", "QOI", "SGI")
    pillow_heif.register_heif_opener()
    Image.init()
    return [
        Reader(
            f"photos {form}",
            partial(_write_photo, form),
            _take,
            mutations.PNG if form == "PNG" else mutations.BYTES,
            (Skipped,),
            weight=40,
        )
        for form in forms
        if form in Image.SAVE or form == "PSD"
    ]


def _read_thumbnails(folder: Path) -> None:
    if not all(thumbnail(path, LIMITS) for path in folder.iterdir()):
        raise Skipped(f"{folder}: unreadable")


def _read_headers(folder: Path) -> None:
    photos = {path.name: path for path in folder.iterdir()}
    queries = [Query(name, name, (1, 1, 70, 70), frozenset(), frozenset()) for name in photos]
    require_photos([Benchmark("benchmark", photos, queries)])


def _read_views(folder: Path) -> None:
    views = Views(sorted(folder.iterdir()), 32)
    assert all(views[place].shape == (1, 3, 32, 32) for place in range(len(views)))


def _names(folder: Path) -> None:
    """A text whose lines become names of files."""
    (folder / "names").write_text("".join(f"photo {number} é\\x.jpg\n" for number in range(20)), encoding="utf-8")


def _list_names(folder: Path) -> None:
    """Any file name has a path in the tables, which is a line and leads back to it."""
    for line in (folder / "names").read_bytes().split(b"\n"):
        name = line.replace(b"/", b"").replace(b"\0", b"")[:200].decode("utf-8", "surrogateescape")
        if name.strip("."):
            written = path_in_table(Path(name))
            assert written.encode()
            assert "\n" not in written
            assert path_from_table(written) == Path(name)


# ground truth

PHOTOS = [f"hall_{number:06}" for number in range(6)]


def _benchmark_photos(folder: Path, names: list[str]) -> None:
    (folder / "jpg").mkdir()
    for name in names:
        (folder / f"jpg/{name}.jpg").write_bytes(b"")


def _write_oxford(folder: Path) -> None:
    _benchmark_photos(folder, PHOTOS)
    (folder / "groundtruth").mkdir()
    texts = {
        "query": f"oxc1_{PHOTOS[0]} 1 2.5 60 54\n",
        "good": f"{PHOTOS[0]}\n{PHOTOS[1]}\n",
        "ok": "",
        "junk": f"{PHOTOS[2]}\n",
    }
    for number in (1, 2):
        for part, text in texts.items():
            (folder / f"groundtruth/hall_{number}_{part}.txt").write_text(text or f"{PHOTOS[3]}\n")


def _write_gnd(content: Any, folder: Path) -> None:
    _benchmark_photos(folder, PHOTOS)
    (folder / f"gnd_{folder.name}.pkl").write_bytes(pickle.dumps(content, protocol=2))


def _gnd(kinds: dict[str, list[int]], queries: list[str]) -> dict[str, Any]:
    answers = {"bbx": [1, 2.5, 40, 30], **kinds}
    return {"imlist": PHOTOS[:4], "qimlist": queries, "gnd": [answers, {**answers, "junk": []}]}


def _marks(benchmark: Benchmark) -> None:
    assert benchmark.positive().shape == benchmark.junk().shape == (len(benchmark.queries), len(benchmark.photos))
    assert not (benchmark.positive() & benchmark.junk()).any()


def _read_revisited(folder: Path) -> None:
    for protocol in PROTOCOLS:
        _marks(read_revisited(folder, protocol))


def _read_holidays_named(folder: Path) -> None:
    """The benchmark of photos whose names stand in a text."""
    place = folder.with_name(f"{folder.name}-named")
    shutil.rmtree(place, ignore_errors=True)
    (place / "jpg").mkdir(parents=True)
    for line in (folder / "names").read_bytes().split(b"\n"):
        name = line.replace(b"/", b"").replace(b"\0", b"")[:200].decode("utf-8", "surrogateescape") or "100000"
        (place / f"jpg/{name}.jpg").touch()
    _marks(read_holidays(place))


def _write_holidays_names(folder: Path) -> None:
    (folder / "names").write_text("".join(f"{number}\n" for number in (100000, 100001, 100100, 100101, 100102)))


CIDS = [f"{number:032x}" for number in range(8)]


def _write_sfm(folder: Path) -> None:
    train = {"cids": CIDS[:5], "cluster": [3, 3, 3, 7, 7], "qidxs": [0, 1, 2, 3], "pidxs": [1, 1, 0, 4]}
    val = {"cids": CIDS[5:], "cluster": [0, 0, 1], "qidxs": [0], "pidxs": [1]}
    (folder / "database.pkl").write_bytes(pickle.dumps({"train": train, "val": val}, protocol=2))


def _read_sfm(folder: Path) -> None:
    photos = pd.DataFrame({"path": sorted(photo_path(cid) for cid in CIDS)})
    published = read_published_pairs(folder / "database.pkl", photos.assign(photo_id=photos.index))
    written = folder.with_name(f"{folder.name}-written")
    write_table(written, "pairs", published.pairs)
    write_table(written, "members", published.members)


# settings


def _copy(name: str, folder: Path) -> None:
    (folder / name).write_bytes((ROOT / name).read_bytes())


def _read_settings_as_text(folder: Path) -> None:
    """What `bcdh learn` does with the params.yaml that it copies."""
    load_params(folder / "params.yaml")
    try:
        text = with_settings((folder / "params.yaml").read_text(encoding="utf-8"), settings_for(folder))
    except StudyError as error:
        raise StudyError(f"{folder}: {error}") from None
    written = folder.with_name(f"{folder.name}-written.yaml")
    written.write_text(text, encoding="utf-8")
    try:
        assert load_params(written).photos.folder == str(folder)
    except StudyError as error:  # of what was copied with it
        raise StudyError(f"{folder}: {error}") from None


# networks


@cache
def _network(bits: int) -> HashNetwork:
    torch.manual_seed(0)
    return HashNetwork(study_in(ROOT).params.network, bits, pretrained=False)


def _write_checkpoint(folder: Path) -> None:
    save_checkpoint(folder / "model.safetensors", _network(BITS), {"method": "dsh"})


def _rows() -> Block:
    random = np.random.default_rng(0)
    paths = [f"é\\x{number:02}.jpg" for number in range(ROWS)]
    photos = pd.DataFrame({"path": paths, "size": 1, "mtime_ns": 1, "sha256": "0" * 64})
    return photos, random.integers(0, 256, (ROWS, BITS // 8), np.uint8)


def _write_index(folder: Path) -> None:
    facts = Facts(model="0" * 64, photos=LIMITS, threads=1, recentred=False, rows="")
    publish(folder, facts, np.zeros(BITS, np.float32), [_rows()], [LeftOut("a", "empty", "0 bytes")])


def _search_index(folder: Path) -> None:
    index = open_index(folder)
    found = index._nearest(np.zeros((2, index.rows.codes.shape[1]), np.uint8), 3, "flat", None)
    assert found[1].max(initial=0) < len(index.rows.photos) == len(index.rows.codes) == sum(map(len, index.rows.blocks()))
    for path in index.rows.paths(range(len(index.rows.codes))).values():
        thumbnail(path_from_table(f"{index.facts.photos.folder}/{path}"), LIMITS)


def _write_notes(folder: Path) -> None:
    photos = [Photo(f"{number}.jpg", [9, 9], 90, 70, f"{number:064x}", "0" * 64) for number in range(3)]
    noted = [*(Encoded(photo, np.zeros(BITS, np.float32)) for photo in photos), LeftOut("é.jpg", "empty", "0 bytes")]
    (folder / "notes.jsonl").write_text("".join(map(note, noted)))
    assert _read_notes(folder) == len(noted)


def _read_notes(folder: Path) -> int:
    """As index_update does: what is noted can stand in the index. How many files that are."""
    with closing(Ledger(folder.with_name(f"{folder.name}-ledger"), BITS)) as ledger:
        ledger.read([folder / "notes.jsonl"])
        count = 0
        for table, outputs in ledger.rows():
            pa.Table.from_pandas(table, schema=ROW, preserve_index=False)
            assert outputs.shape == (len(table), BITS)
            assert np.isfinite(outputs).all()
            count += len(table)
        left_out = pd.DataFrame(ledger.left_out(), columns=list(TABLES["left_out"].columns))
        write_table(folder.with_name(f"{folder.name}-rows"), "left_out", left_out)
        return count + len(left_out)


def _write_finished(folder: Path) -> None:
    notes = [
        {"path": "a.jpg", "state": [9, 9], "width": 90, "height": 70, "sha256": f"{n:064x}", "pixels": "0" * 64} for n in range(3)
    ]
    (folder / "finished.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))


def _read_finished(folder: Path) -> None:
    """As the photos stage does, for a file of that path and state."""
    for line in photo_folder._finished(folder / "finished.jsonl", {"a.jpg": folder / "finished.jsonl"}, folder).values():
        assert isinstance(line, Photo)


def _write_approximate(method: str, folder: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (400, 4), np.uint8)
    large_search.write_index(folder / f"{method}-0.faiss", large_search.build(codes, method))


def _read_approximate(method: str, folder: Path) -> None:
    faiss.omp_set_num_threads(1)
    codes = np.random.default_rng(0).integers(0, 256, (400, 4), np.uint8)
    _, rows = large_search.search_file(folder / f"{method}-0.faiss", codes, codes[:3], 5, 1)
    assert -1 <= rows.min() <= rows.max() < len(codes)


# tables, codes, figures


def _some_rows(name: str) -> pd.DataFrame:
    kinds = {
        "int32": range(6),
        "int64": range(6),
        "string": [f"é{n}" for n in range(6)],
        "double": np.linspace(0, 1, 6),
        "bool": True,
    }
    return pd.DataFrame({column: pd.Series(kinds[str(kind)], range(6)) for column, kind in TABLES[name].columns.items()})


def _write_tables(folder: Path) -> None:
    for name in TABLES:
        write_table(folder, name, _some_rows(name))


def _read_tables(folder: Path) -> None:
    for name in TABLES:
        rows = read_table(folder, name)
        assert list(rows.columns) == list(TABLES[name].columns)


def _write_codes(folder: Path) -> None:
    study = study_in(folder)
    for part, rows in (("queries", 3), ("database", 6)):
        write_array(study.codes / f"benchmark/dsh-16.{part}.npy", np.zeros((rows, 2), np.uint8))
        write_array(study.codes / f"benchmark/float.{part}.npy", np.zeros((rows, 5), np.float32))


def _read_codes(folder: Path) -> None:
    photos = dict.fromkeys(PHOTOS, folder)
    queries = [Query(name, name, None, frozenset(), frozenset()) for name in PHOTOS[:3]]
    for system in (System("dsh", 16), System("float", None)):
        queried, database = load_codes(study_in(folder), Benchmark("benchmark", photos, queries), system)
        assert queried.shape[1] == database.shape[1]
        assert queried.sum() >= 0


def _write_metrics(folder: Path) -> None:
    line = {"benchmark": "rendered_oxford", "method": "dsh", "bits": 64, "map": 0.5, "map_best": 0.5, "map_worst": 0.5}
    scores = [{**line, "map_rectangle": 0.5}, {**line, "method": "float", "bits": None, "map_rectangle": 0.5}]
    write_json(folder / "metrics.json", {"counts": {"photos": 3, "models": 1}, "retrieval": scores})


def _write_summaries(folder: Path) -> None:
    study = study_in(folder)
    write_json(study.reconstruction / "summary.json", {"models": 3, "registered": 20, "unregistered": {"small model": 3}})
    write_json(study.pairs / "summary.json", {"similar_pairs": 3, "dissimilar_pairs": 20})
    for name in ("photos", "left_out"):
        write_table(study.photos, name, _some_rows(name))
    write_table(study.reports, "queries", _some_rows("queries"))


def _read_summaries(folder: Path) -> None:
    study = study_in(folder)
    read_figures(study.reconstruction / "summary.json")
    write_metrics(study)
    read_metrics(study.reports / "metrics.json")


def _write_notebook(folder: Path) -> None:
    cells = [new_markdown_cell("# Photos\n\nWhat they are: $x^2$.", id="a"), new_code_cell("1", id="b", outputs=[])]
    nbformat.write(new_notebook(cells=cells), folder / "01_photos.ipynb")


def _read_notebook(folder: Path) -> None:
    read_notebook(folder / "01_photos.ipynb")
    read_article(folder / "01_photos.ipynb")


# COLMAP's models and database


def model(photos: int = 4, points: int = 12) -> pycolmap.Reconstruction:
    """Cameras in a row before a wall, each of which sees all of its points."""
    random = np.random.default_rng(0)
    built = pycolmap.Reconstruction()
    places = random.uniform([-1, -1, 3], [1, 1, 4], (points, 3))
    for number in range(1, photos + 1):
        built.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(number, "SIMPLE_RADIAL", 300, 320, 240))
        image = pycolmap.Image(name=f"{number - 1:07d}.jpg", camera_id=number, image_id=number)
        image.points2D = pycolmap.Point2DList([pycolmap.Point2D(random.uniform(0, 200, 2)) for _ in range(points)])
        built.add_image_with_trivial_frame(image, pycolmap.Rigid3d(np.hstack([np.eye(3), [[0.1 * number], [0], [0]]])))
    for row, place in enumerate(places):
        track = pycolmap.Track()
        for number in range(1, photos + 1):
            track.add_element(number, row)
        built.add_point3D(place, track, np.array([200, 0, 0], np.uint8))
    return built


def _write_model(folder: Path) -> None:
    from bcdh_lib.reconstruction.models import write_model

    write_model(model(), folder / "0")


def _read_model(folder: Path) -> None:
    from bcdh_lib.reconstruction.registrations import divide, write_models

    study, written = study_in(folder), folder.with_name(f"{folder.name}-written")
    shutil.rmtree(written, ignore_errors=True)
    registrations, _ = write_models(divide(study, [folder / "0"]), written)
    assert registrations["photo_id"].is_unique


def _write_database(folder: Path) -> None:
    from bcdh_lib.reconstruction.features import _register

    study = study_in(folder)
    study.image(0).parent.mkdir(parents=True)
    with pycolmap.Database.open(folder / "database.db") as entries:
        for photo in range(3):
            picture(photo).save(study.image(photo))
            _register(entries, study.image(photo), photo + 1)
            entries.write_descriptors(photo + 1, pycolmap.FeatureDescriptors(data=np.full((5, 128), photo, np.uint8)))


def _read_database(folder: Path) -> None:
    from bcdh_lib.reconstruction import features

    features.register_photos(study_in(folder), folder / "database.db", range(3))
    counts = features.count_features(folder / "database.db")
    found = features.read_descriptors(folder / "database.db", counts.index.tolist())
    assert all(each.shape[1] == 128 for each in found)


# downloads


def _write_archive(folder: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, size in (("oxford/é.jpg", 700), ("oxford/all_souls_000001.jpg", 2000), ("oxford/all_souls_000002.jpg", 10)):
            member = tarfile.TarInfo(name)
            member.size = size
            tar.addfile(member, io.BytesIO(bytes(size)))
    (folder / "archive.tgz").write_bytes(gzip.compress(buffer.getvalue(), 1))


def _read_archive(folder: Path) -> None:
    target = folder.with_name(f"{folder.name}-unpacked")
    target.mkdir(exist_ok=True)
    unpack(folder / "archive.tgz", target)
    assert all(path.is_relative_to(target / "images") for path in target.rglob("*") if path.is_file())


def _write_record(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("".join(f"{n:064x}  archives/{n}.tgz\n" for n in range(4)))


def _read_record(folder: Path) -> None:
    assert all(isinstance(digest, str) for digest in _read_digests(folder).values())


READERS = {
    reader.name: reader
    for reader in (
        *_photo_readers(),
        Reader("thumbnails", partial(_write_photo, "JPEG"), _read_thumbnails, mutations.BYTES, (Skipped,)),
        Reader("photo headers", partial(_write_photo, "TIFF"), _read_headers, mutations.BYTES, (StudyError,)),
        Reader("views", partial(_write_photo, "TIFF"), _read_views, mutations.BYTES, (StudyError,)),
        Reader("file names", _names, _list_names, mutations.TEXT),
        Reader(
            "Oxford texts",
            _write_oxford,
            lambda folder: _marks(read_oxford_paris(folder)),
            mutations.TEXT,
            (StudyError,),
            "groundtruth/*",
            100,
        ),
        Reader(
            "Oxford gnd",
            partial(_write_gnd, _gnd({"ok": [0, 1], "junk": [2]}, PHOTOS[:2])),
            lambda folder: _marks(read_oxford_paris(folder)),
            mutations.PICKLE,
            (StudyError,),
            "*.pkl",
            60,
        ),
        Reader(
            "revisited gnd",
            partial(_write_gnd, _gnd({"easy": [0, 1], "hard": [3], "junk": [2]}, PHOTOS[4:])),
            _read_revisited,
            mutations.PICKLE,
            (StudyError,),
            "*.pkl",
            60,
        ),
        Reader("Holidays names", _write_holidays_names, _read_holidays_named, mutations.TEXT, (StudyError,), "names", 40),
        Reader("retrieval-SfM", _write_sfm, _read_sfm, mutations.PICKLE, (StudyError, PickleError), weight=100),
        Reader(
            "params.yaml",
            partial(_copy, "params.yaml"),
            lambda folder: load_params(folder / "params.yaml"),
            mutations.YAML,
            (StudyError,),
            weight=100,
            lines=True,
        ),
        Reader(
            "params.yaml as text",
            partial(_copy, "params.yaml"),
            _read_settings_as_text,
            mutations.TEXT,
            (StudyError),
            weight=40,
            lines=True,
        ),
        Reader(
            "study.yaml",
            partial(_copy, "study.yaml"),
            lambda folder: load_plan(folder / "study.yaml"),
            mutations.YAML,
            (StudyError,),
            weight=60,
        ),
        Reader(
            "checkpoint facts",
            _write_checkpoint,
            lambda folder: load_checkpoint(folder / "model.safetensors"),
            mutations.JSON,
            (StudyError,),
            "*.json",
            30,
        ),
        Reader(
            "checkpoint weights",
            _write_checkpoint,
            lambda folder: load_checkpoint(folder / "model.safetensors"),
            mutations.BYTES,
            (StudyError,),
            "*.safetensors",
            15,
        ),
        Reader("index facts", _write_index, _search_index, mutations.JSON, (StudyError,), "index.json", 60),
        Reader("index photos", _write_index, _search_index, mutations.PARQUET, (StudyError,), "*/photos.parquet", 60),
        Reader("index codes", _write_index, _search_index, mutations.NPY, (StudyError,), "*/*.npy", 60),
        Reader("index notes", _write_notes, _read_notes, mutations.JSON_LINES, weight=60),
        Reader("photo notes", _write_finished, _read_finished, mutations.JSON_LINES, weight=40),
        *(
            Reader(
                f"approximate {method}",
                partial(_write_approximate, method),
                partial(_read_approximate, method),
                mutations.BYTES,
                (large_search.StudyError,),
                weight=40,
            )
            for method in large_search.NPROBE
        ),
        Reader("tables", _write_tables, _read_tables, mutations.PARQUET, (StudyError,), weight=120),
        Reader("codes", _write_codes, _read_codes, mutations.NPY, (StudyError,), "*.npy", 100),
        Reader(
            "metrics",
            _write_metrics,
            lambda folder: read_metrics(folder / "metrics.json"),
            mutations.JSON,
            (StudyError,),
            weight=60,
        ),
        Reader(
            "summaries",
            _write_summaries,
            _read_summaries,
            mutations.JSON,
            (StudyError),
            "*/*/summary.json",
            60,
            changes=lambda name: name.startswith("reports/metrics"),
        ),
        Reader("notebooks", _write_notebook, _read_notebook, mutations.JSON, (StudyError), weight=40),
        Reader("COLMAP models", _write_model, _read_model, mutations.BYTES, (StudyError,), "0/*.bin", 120),
        Reader(
            "COLMAP database",
            _write_database,
            _read_database,
            mutations.BYTES,
            (StudyError,),
            "database.db",
            60,
            changes=lambda name: name.startswith("database"),
        ),
        Reader(
            "archives",
            _write_archive,
            _read_archive,
            mutations.ARCHIVE,
            (StudyError,),
            weight=120,
            changes=lambda name: name == "archive.tgz",
        ),
        Reader("download digests", _write_record, _read_record, mutations.TEXT, (StudyError,), weight=40),
    )
}
