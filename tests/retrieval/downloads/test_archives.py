"""Archives: what is wanted lands where it should, and a poisoned, damaged or swelling one writes nothing outside its folder."""

import gzip
import tarfile

import pytest

from bcdh_lib.core.errors import StudyError
from bcdh_lib.retrieval.downloads.archives import unpack
from tests.retrieval.downloads.conftest import archive, special

MOST = 1_000_000


@pytest.fixture
def take(tmp_path):
    """Unpack an archive with this content into a folder of its own; gives the files there."""

    def call(content, most=MOST):
        file, folder = tmp_path / "photos.tgz", tmp_path / "in/folder"
        file.write_bytes(content)
        folder.mkdir(parents=True)
        unpack(file, folder, lambda name: f"images/{name}" if name.endswith(".jpg") else None, most)
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    return call


def outside(tmp_path):
    return {path.name for path in tmp_path.rglob("*") if not path.is_dir() and tmp_path / "in/folder" not in path.parents}


def test_by_hand(take):
    content = archive(
        special("paris", tarfile.DIRTYPE), ("paris/general/b.jpg", b"two"), ("./a.jpg", b"one"), ("paris/README", b"")
    )
    assert take(content) == {"images/a.jpg": b"one", "images/b.jpg": b"two"}


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        (("../evil.jpg", b"x"), r"'\.\./evil\.jpg', which leads out"),
        (("photos/../../evil.jpg", b"x"), "which leads out"),
        (("/tmp/evil.jpg", b"x"), r"'/tmp/evil\.jpg', which leads out"),
        (("..\\evil.jpg", b"x"), "which leads out"),
        (("C:\\evil.jpg", b"x"), "which leads out"),
        (special("out.jpg", tarfile.SYMTYPE, "../../../evil"), r"'out\.jpg', which is a link"),
        (special("in.jpg", tarfile.SYMTYPE, "good.jpg"), "which is a link"),
        (special("hard.jpg", tarfile.LNKTYPE, "/etc/passwd"), "which is a link"),
        (special("disk.jpg", tarfile.BLKTYPE), "neither a file nor a folder"),
        (special("null.jpg", tarfile.CHRTYPE), "neither a file nor a folder"),
        (special("pipe.jpg", tarfile.FIFOTYPE), "neither a file nor a folder"),
    ],
)
def test_a_poisoned_archive_is_refused_by_the_members_name(take, tmp_path, member, fault):
    with pytest.raises(StudyError, match=rf"photos.tgz: holds .*{fault}") as refusal:
        take(archive(("good.jpg", b"x"), member))
    assert len(str(refusal.value).splitlines()) == 1
    assert outside(tmp_path) == {"photos.tgz"}


def test_a_link_is_not_written_through(take, tmp_path):
    with pytest.raises(StudyError, match="which is a link"):
        take(archive(special("deep", tarfile.SYMTYPE, str(tmp_path)), ("deep/evil.jpg", b"x")))
    assert outside(tmp_path) == {"photos.tgz"}


def test_a_swelling_archive_is_stopped(take, tmp_path):
    content = archive(("a.jpg", bytes(3 * MOST)))
    assert len(content) < MOST / 100
    with pytest.raises(StudyError, match=r"unzips to more than the 1,000,000 bytes expected"):
        take(content)
    assert sum(path.stat().st_size for path in (tmp_path / "in").rglob("*.jpg")) <= MOST


def test_what_is_not_wanted_counts_too(take):
    with pytest.raises(StudyError, match="unzips to more than"):
        take(archive(("README", bytes(3 * MOST))))


def test_what_follows_the_last_member_counts_too(take):
    with pytest.raises(StudyError, match="unzips to more than"):
        take(archive(("a.jpg", b"x")) + gzip.compress(bytes(3 * MOST)))


WHOLE = archive(("a.jpg", bytes(range(256)) * 50))


@pytest.mark.parametrize("content", [WHOLE[: len(WHOLE) // 2], WHOLE[:-8], b"<html>302 Found</html>", b""])
def test_a_damaged_archive_is_named_and_removed(take, tmp_path, content):
    with pytest.raises(StudyError, match=r"photos.tgz: is damaged or cut short .*type the command again"):
        take(content)
    assert outside(tmp_path) == set()


def test_a_flipped_bit_shows(take):
    content = bytearray(WHOLE)
    content[-6] ^= 1  # gzip's checksum: what unzips is unharmed, but is not what was zipped
    with pytest.raises(StudyError, match="is damaged or cut short"):
        take(bytes(content))
