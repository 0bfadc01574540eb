"""An index follows its folder: only what changed is encoded; killed anywhere it ends as if undisturbed; one writer at a time."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
import torch

from bcdh_lib.core.codes import pack, unpack
from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import LockError, locked
from bcdh_lib.core.tables import read_table
from bcdh_lib.photos.collect import copy_photos as take_in
from bcdh_lib.search import index_update
from bcdh_lib.search.encoder import Encoder
from bcdh_lib.search.index_update import update
from bcdh_lib.search.photo_index import open_index
from bcdh_lib.study import Study, find_root, open_study
from bcdh_lib.training.network import HashNetwork, load_checkpoint, save_checkpoint
from bcdh_lib.training.views import Views


@pytest.fixture
def study(params, tmp_path):
    return Study(tmp_path, params)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def paths_of(folder):
    return open_index(folder).rows.photos["path"].tolist()


PHOTOS = ["0.png", "2.png", "4.png", "inner/1.png", "inner/3.png", "inner/5.png"]


def test_a_new_index(album, checkpoint, study, tmp_path, taken):
    index = tmp_path / "index"
    before = contents(album)
    done = update(index, album, checkpoint, study)
    assert (done.photos, done.new, done.anew, done.gone) == (6, 6, 0, 0)
    assert [(one.path, one.reason) for one in done.left_out] == [("notes.jpg", "not an image")]
    assert contents(album) == before
    rows = open_index(index).rows
    assert rows.photos["path"].tolist() == PHOTOS
    assert isinstance(rows.codes, np.memmap)
    assert sorted(path.name for path in index.iterdir()) == sorted(
        ["index.json", "lock", "model.json", "model.safetensors", open_index(index).facts.rows]
    )


def test_codes_are_those_of_the_study(album, checkpoint, study, tmp_path, taken):
    """Its photos stage, and the network on that stage's copies."""
    take_in(study, album)
    images = [study.image(photo) for photo in read_table(study.photos, "photos")["photo_id"]]
    views = np.concatenate([view.numpy() for view in Views(images, study.params.network.side)])
    outputs = Encoder(load_checkpoint(checkpoint)[0], study.params.run.threads).outputs(views)
    update(tmp_path / "index", album, checkpoint, study)
    assert (open_index(tmp_path / "index").rows.codes == pack(outputs)).all()


def test_only_what_changed_is_encoded_and_the_result_is_that_of_a_new_index(
    album, checkpoint, study, tmp_path, taken, draw_photo
):
    index = tmp_path / "index"
    update(index, album, checkpoint, study)
    taken.clear()
    assert update(index, album).new == 0
    assert taken == ["notes.jpg"]
    draw_photo(album / "2.png", 20)
    (album / "inner/3.png").unlink()
    draw_photo(album / "a.png", 30)
    (album / "4.png").write_bytes((album / "4.png").read_bytes()[:60])  # cut
    taken.clear()
    done = update(index, album)
    assert taken == ["2.png", "4.png", "a.png", "notes.jpg"]
    assert (done.photos, done.new, done.anew, done.gone) == (5, 1, 1, 2)
    assert {one.path: one.reason for one in done.left_out} == {"4.png": "not decodable", "notes.jpg": "not an image"}
    update(tmp_path / "anew", album, checkpoint, study)
    assert contents(index) == contents(tmp_path / "anew")


def test_recentring_keeps_its_thresholds_until_it_is_done_again(album, checkpoint, study, tmp_path, taken, draw_photo):
    index = tmp_path / "index"
    update(index, album, checkpoint, study)
    plain = open_index(index).rows
    assert (plain.centre == 0).all()
    taken.clear()
    update(index, album, recentre=True)
    assert set(PHOTOS) <= set(taken)
    recentred = open_index(index)
    assert recentred.facts.recentred
    assert (recentred.rows.centre != 0).all()
    shares = (unpack(recentred.rows.codes) > 0).mean(0)
    assert ((shares > 0) & (shares < 1)).all()  # no bit is alike on all photos
    draw_photo(album / "z.png", 40)
    taken.clear()
    update(index, album)
    assert taken == ["notes.jpg", "z.png"]
    assert open_index(index).facts.recentred
    assert (open_index(index).rows.centre == recentred.rows.centre).all()
    assert (open_index(index).rows.codes[:6] == recentred.rows.codes).all()
    update(index, album, recentre=True)
    assert (open_index(index).rows.centre != recentred.rows.centre).any()
    update(tmp_path / "anew", album, checkpoint, study, recentre=True)
    assert contents(index) == contents(tmp_path / "anew")


class Stop(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("recentre", [False, True])
def test_stopped_before_any_write_it_ends_as_if_undisturbed(
    album, checkpoint, study, tmp_path, taken, monkeypatch, draw_photo, recentre
):
    """An update after changes, stopped before each of its renames and removals; meanwhile a search finds the old or the new."""
    index, old, undisturbed = tmp_path / "index", tmp_path / "old", tmp_path / "undisturbed"
    update(old, album, checkpoint, study)
    shutil.copytree(old, undisturbed)
    draw_photo(album / "2.png", 20)
    (album / "inner/3.png").unlink()
    update(undisturbed, album, recentre=recentre)
    for stop_at in range(100):
        shutil.rmtree(index, ignore_errors=True)
        shutil.copytree(old, index)
        with monkeypatch.context() as patched:
            steps = stop_before(patched, stop_at)
            try:
                update(index, album, recentre=recentre)
            except Stop:
                assert len(open_index(index).rows.photos) in (5, 6)
        update(index, album, recentre=recentre and not open_index(index).facts.recentred)
        assert contents(index) == contents(undisturbed)
        if len(steps) <= stop_at:
            break
    assert stop_at > 6


def stop_before(patched, step):
    """Raise Stop before the rename or removal of that number; gives what they were called with."""
    steps = []
    for module, name, function in ((os, "replace", os.replace), (shutil, "rmtree", shutil.rmtree)):

        def counted(*arguments, really=function, **named):
            steps.append(arguments)
            if len(steps) == step + 1:
                raise Stop
            return really(*arguments, **named)

        patched.setattr(module, name, counted)
    return steps


def test_a_first_update_stopped_before_any_write(album, checkpoint, study, tmp_path, taken, monkeypatch):
    index, undisturbed = tmp_path / "index", tmp_path / "undisturbed"
    update(undisturbed, album, checkpoint, study)
    for stop_at in range(100):
        shutil.rmtree(index, ignore_errors=True)
        with monkeypatch.context() as patched:
            steps = stop_before(patched, stop_at)
            with suppress(Stop):
                update(index, album, checkpoint, study)
        update(index, album, checkpoint, study)
        assert contents(index) == contents(undisturbed)
        if len(steps) <= stop_at:
            break
    assert stop_at > 3


INDEX = """
import sys
from bcdh_lib.search import encoder
from bcdh_lib.cli import main
encoder.BATCH = 4
sys.exit(main(["index", *sys.argv[1:]]))
"""


def test_killed_in_the_middle_it_goes_on(checkpoint, params, tmp_path, draw_photo, monkeypatch, taken):
    """kill -9 once some photos are noted, its worker processes and its lock with it: then the rest alone is encoded."""
    album, index = tmp_path / "album", tmp_path / "index"
    album.mkdir()
    for number in range(40):
        draw_photo(album / f"{number:02}.png", number)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(find_root() / name, tmp_path)
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text().replace("threads: 2", "threads: 1"))
    command = [sys.executable, "-c", INDEX, "album", "--model", checkpoint, "--index", "index"]
    environment = os.environ | {"PYTHONPATH": str(find_root())}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as run:
        while run.poll() is None and not any("\n{" in file.read_text() for file in index.glob("unfinished/*.jsonl")):
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    (notes,) = index.glob("unfinished/*.jsonl")
    noted = [json.loads(line)["photo"]["path"] for line in notes.read_text().splitlines() if line.endswith("}")]
    assert 4 <= len(noted) < 40
    with pytest.raises(StudyError, match="holds no index"):
        open_index(index)
    monkeypatch.setattr("bcdh_lib.search.encoder.BATCH", 4)
    study = open_study(root=tmp_path)
    assert update(index, album, checkpoint, study).new == 40
    assert taken == [f"{number:02}.png" for number in range(len(noted), 40)]
    update(tmp_path / "undisturbed", album, checkpoint, study)
    assert contents(index) == contents(tmp_path / "undisturbed")


RANK = """
import os, signal, sys
from bcdh_lib.cli import main
from bcdh_lib.search import encoder, index_update
from bcdh_lib.photos.decoding import prepare_process
dies, *arguments = sys.argv[1:]
rank = os.environ["RANK"]
def in_this_process(take, jobs, workers):
    for number, job in enumerate(jobs):
        if dies == rank and number == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(f"taken-{rank}", "a") as taken:
            taken.write(job[0] + "\\n")
        yield take(job)
prepare_process()
encoder.BATCH = 4
index_update.in_processes = in_this_process
sys.exit(main(["index", *arguments]))
"""


@pytest.mark.parametrize("count", [2, 3])
def test_processes_one_of_them_killed_and_all_again_give_the_index_of_one(
    count, checkpoint, params, tmp_path, draw_photo, monkeypatch, taken
):
    """Under torchrun: each encodes every count-th photo, and none again; the index is that of one process, byte for byte."""
    album, index = tmp_path / "album", tmp_path / "index"
    album.mkdir()
    for number in range(12 * count):
        draw_photo(album / f"{number:02}.png", number)
    (album / "notes.jpg").write_text("no photo")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(find_root() / name, tmp_path)
    (tmp_path / "params.yaml").write_text((tmp_path / "params.yaml").read_text().replace("threads: 2", "threads: 1"))
    (tmp_path / "rank.py").write_text(RANK)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count), "rank.py"]
    arguments = ["album", "--model", checkpoint, "--index", "index"]
    environment = os.environ | {"PYTHONPATH": str(find_root())}
    killed = subprocess.run([*torchrun, "1", *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert killed.returncode != 0
    lines = [line for notes in index.glob("unfinished/*.jsonl") for line in notes.read_text().splitlines()]
    noted = {json.loads(line)["photo"]["path"] for line in lines if line.startswith('{"photo"')}
    of_the_killed = [f"{number:02}.png" for number in range(1, 12 * count, count)]
    assert set(of_the_killed[:4]) <= noted
    assert not noted & set(of_the_killed[4:])
    for file in tmp_path.glob("taken-*"):
        file.unlink()
    again = subprocess.run(
        [*torchrun, "none", *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert again.stdout == f"index: {12 * count} photos ({12 * count} new, 0 encoded anew, 0 gone)\n"
    missing = [path for path in sorted(os.listdir(album)) if path not in noted]
    taken_by = [(tmp_path / f"taken-{rank}").read_text().split() for rank in range(count)]
    assert taken_by == [missing[rank::count] for rank in range(count)]
    monkeypatch.setattr("bcdh_lib.search.encoder.BATCH", 4)
    update(tmp_path / "undisturbed", album, checkpoint, open_study(root=tmp_path))
    assert contents(index) == contents(tmp_path / "undisturbed")


def test_a_list_of_photos(album, checkpoint, study, tmp_path, taken):
    """Paths below it, beside it and whole; one twice, one with the end of line of another system, one that is not there."""
    update(tmp_path / "whole", album, checkpoint, study)
    whole = open_index(tmp_path / "whole").rows
    (tmp_path / "lists").mkdir()
    photos = tmp_path / "lists/some.txt"
    (tmp_path / "lists/a.png").write_bytes((album / "0.png").read_bytes())
    photos.write_text(f"a.png\r\n\n../album/inner/1.png\n{album}/4.png\n./a.png\ngone.png\n")
    index = tmp_path / "index"
    done = update(index, photos, checkpoint, study)
    assert (done.photos, [one.path for one in done.left_out]) == (3, ["gone.png"])
    rows = open_index(index).rows
    assert rows.photos["path"].tolist() == [f"{album}/4.png", f"{album}/inner/1.png", "a.png"]
    places = whole.photos["path"].tolist()
    assert (rows.codes == whole.codes[[places.index(path) for path in ("4.png", "inner/1.png", "0.png")]]).all()
    found = open_index(index).search([album / "4.png", album / "0.png"], 1)
    assert [hits[0].path for hits in found] == [f"{album}/4.png", f"{tmp_path}/lists/a.png"]
    photos.write_text("a.png\n")
    taken.clear()
    assert (update(index, photos).gone, taken) == (2, [])
    with pytest.raises(StudyError, match=r"is the index of .*some\.txt"):
        update(index, album)


def test_a_photo_that_nobody_encoded_is_counted(album, checkpoint, study, tmp_path, taken, monkeypatch):
    """As where two processes of a killed update wrote into one file; the same command goes on."""
    monkeypatch.setattr(index_update, "in_processes", lambda take, jobs, workers: map(take, list(jobs)[2:]))
    with pytest.raises(StudyError, match="2 photos have not been encoded; the same command goes on"):
        update(tmp_path / "index", album, checkpoint, study)
    monkeypatch.setattr(index_update, "in_processes", lambda take, jobs, workers: map(take, list(jobs)))
    assert update(tmp_path / "index", album, checkpoint, study).new == 6


def test_a_note_cut_or_of_a_photo_changed_since_does_not_count(
    album, checkpoint, study, tmp_path, taken, monkeypatch, draw_photo
):
    with monkeypatch.context() as patched:
        patched.setattr(index_update, "publish", lambda *_: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            update(tmp_path / "index", album, checkpoint, study)
    (notes,) = (tmp_path / "index/unfinished").glob("*.jsonl")
    kept = notes.read_text()[:-20]
    note = kept.splitlines()[2]
    strange = note.replace('"2.png"', '["2.png"]'), note.replace('"outputs": "', f'"outputs": "{16 * "A"}'), "[" * 10**5, "7"
    notes.write_bytes("\n".join([kept, *strange, ""]).encode() + b"\xff\n")
    draw_photo(album / "0.png", 50)
    taken.clear()
    update(tmp_path / "index", album, checkpoint, study)
    assert taken == ["0.png", "inner/5.png", "notes.jpg"]


def test_two_writers(album, checkpoint, study, tmp_path, taken):
    index = tmp_path / "index"
    update(index, album, checkpoint, study)
    before = contents(index)
    with locked(index / "lock"):
        with pytest.raises(LockError, match=rf"lock: held by process {os.getpid()} on .* since"):
            update(index, album)
        assert len(open_index(index).rows.photos) == 6  # it may be searched meanwhile
    update(index, album)
    assert contents(index) == before


def test_what_is_refused_changes_nothing(album, checkpoint, study, params, tmp_path, taken):
    index = tmp_path / "index"
    update(index, album, checkpoint, study)
    before = contents(index)
    other, real = tmp_path / "other.safetensors", tmp_path / "float.safetensors"
    torch.manual_seed(4)
    save_checkpoint(other, HashNetwork(params.network, 16), {"method": "dsh"})
    save_checkpoint(real, HashNetwork(params.network, None), {"method": "float"})
    (tmp_path / "second").mkdir()
    coarse = Study(tmp_path, params.model_copy(update={"photos": params.photos.model_copy(update={"max_side": 128})}))
    refusals = [
        ((index, album, other, study), StudyError, "codes are those of another model"),
        ((index, album, real, study), StudyError, "gives real vectors"),
        ((index, album, tmp_path / "gone.safetensors", study), StudyError, r"gone\.safetensors: is no checkpoint"),
        ((index, tmp_path / "second", checkpoint, study), StudyError, "is the index of .*album"),
        ((index, tmp_path / "nowhere"), StudyError, "nowhere: is not there"),
        ((index, checkpoint), StudyError, "is a file, and no list of photos"),
        ((index, album, checkpoint, coarse), StudyError, "was made with photos.max_side 640, not 128"),
        ((tmp_path / "new", album), StudyError, "holds no index yet.*--model"),
        ((album / "index", album, checkpoint, study), StudyError, "lies among the photos"),
        ((tmp_path, tmp_path / "second", checkpoint, study), StudyError, "holds .* and no index"),
        ((checkpoint, album, checkpoint, study), StudyError, "is a file"),
    ]
    for arguments, kind, message in refusals:
        with pytest.raises(kind, match=message) as caught:
            update(*arguments)
        assert len(str(caught.value).splitlines()) == 1
    assert contents(index) == before
    assert not (album / "index").exists()


def test_no_photo_left(album, checkpoint, study, tmp_path, taken):
    """An index is never emptied: photos that lay on a disk that is not mounted now come back."""
    empty, index = tmp_path / "empty", tmp_path / "index"
    empty.mkdir()
    with pytest.raises(StudyError, match=r"empty: holds no usable photo \(it is empty\)"):
        update(tmp_path / "of nothing", empty, checkpoint, study)
    update(index, album, checkpoint, study)
    before = open_index(index).rows.codes.tolist()
    for path in PHOTOS:
        (album / path).unlink()
    with pytest.raises(StudyError, match=r"holds no usable photo \(1 not an image\)"):
        update(index, album)
    assert open_index(index).rows.codes.tolist() == before


def test_a_photo_that_may_not_be_read_is_counted(album, checkpoint, study, tmp_path, taken):
    (album / "gone.png").symlink_to("nowhere.png")
    done = update(tmp_path / "index", album, checkpoint, study)
    assert {one.path: one.reason for one in done.left_out} == {"gone.png": "unreadable", "notes.jpg": "not an image"}
    assert done.photos == 6
