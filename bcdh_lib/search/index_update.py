"""Bringing an index up to date with its photos: the new, the changed and the deleted ones, and no other.

A photo is taken for unchanged where its path, size and time of change are those of its row. One update is made at a time, by one
process or by several, on one machine or on many that share the photos and the index's folder:

    torchrun --nproc_per_node 2 -m bcdh_lib.cli index PHOTOS --model MODEL

The first process finds what is missing; every process encodes its share and notes it in a file of its own; the first puts the
notes together. Memory does not grow with the photos, but by what is left out: each photo stands in a file on the way.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bcdh_lib.comparison.provenance import digest_of
from bcdh_lib.core.codes import Codes
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import locked, write_bytes
from bcdh_lib.core.recentring import Centre, centre_of, pack_around
from bcdh_lib.params import Photos
from bcdh_lib.photos.folder import Job, LeftOut, in_processes, path_from_table, path_in_table, walk
from bcdh_lib.search.encoder import see
from bcdh_lib.search.ledger import Ledger, note
from bcdh_lib.search.photo_index import OWN, Block, Facts, PhotoIndex, Rows, open_index, publish
from bcdh_lib.search.ranks import once, together
from bcdh_lib.study import Study
from bcdh_lib.training.distributed import process_count, process_rank, wait_for_all
from bcdh_lib.training.network import load_checkpoint


@dataclass(frozen=True)
class Update:
    """What bringing an index up to date did."""

    photos: int  # that are in it now
    new: int
    anew: int  # encoded again
    gone: int  # rows whose photo is there no more, or cannot be read any more
    left_out: list[LeftOut]


def update(folder: Path, photos: Path, model: Path | None = None, study: Study | None = None, recentre: bool = False) -> Update:
    """Make the index in `folder` of `photos`, or bring it up to date.

    photos: a folder, with all below it, or a text file (.txt) with the path of a photo in each line, relative to where it lies.
    model: the checkpoint; study: whose settings say what is taken in. Both are needed where there is no index yet, and must be
    the index's own where there is one. recentre: encode all photos anew and move the bits' thresholds to the mean of their
    outputs; without it the thresholds stay those of the index. A killed update goes on from its finished photos, whatever the
    number of processes.
    Raises StudyError, and LockError where another process writes the index.
    """
    with together(), ExitStack() as held:
        begun: list[tuple[PhotoIndex, Ledger]] = []  # of the first process

        def begin() -> Facts:
            index, ledger = _begin(folder, photos, model, study, recentre, held)
            begun.append((index, ledger))
            return index.facts

        facts = once(begin)
        _encode_share(folder, facts, photos)
        wait_for_all()
        return once(lambda: _end(*begun[0], photos, recentre))


def _begin(
    folder: Path, photos: Path, model: Path | None, study: Study | None, recentre: bool, held: ExitStack
) -> tuple[PhotoIndex, Ledger]:
    """The index as it is, locked, and what is to be done, written to `unfinished/missing`."""
    _check_folders(folder, photos)
    sha256 = digest_of_model(model) if model else None
    folder.mkdir(parents=True, exist_ok=True)
    held.enter_context(locked(folder / "lock"))
    if (folder / "index.json").is_file():
        index = _reopen(folder, photos, sha256, study)
    elif model and sha256 and study:
        index = _new(folder, photos, model, sha256, study)
    else:
        raise StudyError(f"{folder}: holds no index yet; name the network that shall make it with --model")
    unfinished = folder / "unfinished"
    unfinished.mkdir(exist_ok=True)
    ledger = held.enter_context(closing(Ledger(unfinished / "ledger", len(index.rows.centre))))
    ledger.begin(_find(photos), index.rows.blocks(), recentre, _notes(folder, index.facts))
    part = unfinished / "missing.part"
    with open(part, "w", encoding="utf-8", newline="\n") as missing:
        missing.writelines(f"{path}\n" for path in ledger.missing())
    os.replace(part, unfinished / "missing")
    return index, ledger


def _check_folders(folder: Path, photos: Path) -> None:
    if not photos.exists():
        raise StudyError(f"{photos}: is not there; name the folder of your photos")
    if not photos.is_dir() and photos.suffix != ".txt":
        raise StudyError(f"{photos}: is a file, and no list of photos (.txt); name the folder of your photos")
    if folder.resolve().is_relative_to(photos.resolve()):
        raise StudyError(f"{folder}: lies among the photos, which are only read; name another place with --index")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"{folder}: is a file; name another place with --index")
    others = {path.name for path in folder.glob("*") if path.name.removesuffix(".part") not in OWN}
    if (folder / "unfinished").is_dir():  # a first update, killed when its rows stood there and index.json did not yet name them
        others = {name for name in others if not re.fullmatch("[0-9a-f]{16}", name)}
    if others and not (folder / "index.json").is_file():
        raise StudyError(f"{folder}: holds {min(others)} and no index; name another place with --index")


def digest_of_model(model: Path) -> str:
    """The SHA-256 of a checkpoint that gives codes. Raises StudyError."""
    network, facts = load_checkpoint(model)
    if network.bits is None:
        raise StudyError(f"{model}: gives real vectors, no codes; name a model that has bits with --model")
    return str(facts["sha256"])


def _new(folder: Path, photos: Path, model: Path, sha256: str, study: Study) -> PhotoIndex:
    """A new index without rows, the model copied into it."""
    for ending in (".json", ".safetensors"):
        write_bytes(folder / f"model{ending}", model.with_suffix(ending).read_bytes())
    threads, listed = study.params.run.threads, None if photos.is_dir() else path_in_table(Path(photos.name))
    facts = Facts(model=sha256, photos=_limits(study, photos), threads=threads, recentred=False, rows="", listed_in=listed)
    bits = PhotoIndex(folder, facts, Rows()).encoder.network.bits or 0
    return PhotoIndex(folder, facts, Rows(codes=np.empty((0, bits // 8), np.uint8), centre=np.zeros(bits, np.float32)))


def _reopen(folder: Path, photos: Path, sha256: str | None, study: Study | None) -> PhotoIndex:
    """The index there is. Raises StudyError where it is of other photos, another model or setting than is wanted now."""
    index = open_index(folder)
    own = posixpath.join(index.facts.photos.folder or "", index.facts.listed_in or "").removesuffix("/")
    if own != path_in_table(photos.resolve()):
        raise StudyError(f"{folder}: is the index of {own}; name another place with --index")
    if sha256 and sha256 != index.facts.model:
        raise StudyError(f"{folder}: its codes are those of another model; name another place with --index")
    wanted = _limits(study, photos) if study else index.facts.photos
    for key in Photos.model_fields:
        if (was := getattr(index.facts.photos, key)) != (now := getattr(wanted, key)):
            raise StudyError(f"{folder}: was made with photos.{key} {was}, not {now}; name another place with --index")
    return index


def _limits(study: Study, photos: Path) -> Photos:
    """The study's settings of what is taken in, for this folder, or for the folder that the list lies in."""
    folder = photos.resolve() if photos.is_dir() else photos.resolve().parent
    return study.params.photos.model_copy(update={"source": "folder", "folder": path_in_table(folder)})


def _find(photos: Path) -> Iterator[Job | LeftOut]:
    """The files of a folder or of a list, in any order; those that a list names outside its own folder by their whole path."""
    if photos.is_dir():
        yield from walk(photos)
        return
    folder = photos.resolve().parent
    with open(photos, "rb") as lines:
        for line in lines:
            if written := line.strip(b"\r\n"):
                file = Path(os.path.normpath(folder / os.fsdecode(written)))
                yield path_in_table(file.relative_to(folder) if file.is_relative_to(folder) else file), file


def _notes(folder: Path, facts: Facts) -> list[Path]:
    """The files in which the processes note what they encoded. They belong to a model and to limits."""
    return sorted((folder / "unfinished").glob(f"{_name_of_notes(facts)}-*.jsonl"))


def _name_of_notes(facts: Facts) -> str:
    return digest_of([], facts.model, facts.photos.model_dump_json())


def _encode_share(folder: Path, facts: Facts, photos: Path) -> None:
    """Encode this process's share of what is missing, and note it."""
    unfinished, encoder = folder / "unfinished", PhotoIndex(folder, facts, Rows()).encoder
    base = photos if photos.is_dir() else photos.resolve().parent

    def share() -> Iterator[str]:
        with open(unfinished / "missing", encoding="utf-8", newline="\n") as lines:
            yield from (line.removesuffix("\n") for line in islice(lines, process_rank(), None, process_count()))

    seen = partial(see, limits=facts.photos, side=encoder.network.settings.side)
    jobs = ((path, base / path_from_table(path)) for path in share())
    with (
        open(unfinished / f"{_name_of_notes(facts)}-{process_rank()}.jsonl", "a", encoding="utf-8") as noted,
        tqdm(desc="photos", unit="photo", total=sum(1 for _ in share()), disable=process_rank() > 0) as bar,
    ):
        noted.write("\n")  # a line that a kill cut ends here
        for some in encoder.encode(in_processes(seen, jobs, facts.threads)):
            noted.writelines(note(one) for one in some)
            noted.flush()
            bar.update(len(some))


def _end(index: PhotoIndex, ledger: Ledger, photos: Path, recentre: bool) -> Update:
    """Put the rows kept and what all processes noted together as the new rows."""
    ledger.read(_notes(index.folder, index.facts))
    if lacking := ledger.unaccounted():
        raise StudyError(f"{index.folder}: {lacking} photos have not been encoded; the same command goes on with them")
    counts, left_out = ledger.counts(), ledger.left_out()
    if not counts["photos"]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(one.reason for one in left_out).most_common())
        raise StudyError(f"{photos}: holds no usable photo ({reasons or 'it is empty'}); name a folder with photos in it")
    centre = centre_of(outputs for _, outputs in ledger.rows()) if recentre else index.rows.centre
    facts = index.facts.model_copy(update={"recentred": index.facts.recentred or recentre})
    publish(index.folder, facts, centre, _blocks(index.rows.codes, ledger, centre), left_out)
    return Update(**counts, left_out=left_out)


def _blocks(before: Codes, ledger: Ledger, centre: Centre) -> Iterator[Block]:
    """The rows there are now, with their codes: those of before, or made of outputs."""
    for table, outputs in ledger.rows():
        row = table.pop("row").to_numpy()
        codes = np.empty((len(table), len(centre) // 8), np.uint8)
        codes[row >= 0] = before[row[row >= 0]]
        if len(outputs):
            codes[row < 0] = pack_around(outputs, centre)
        yield table, codes
