"""What the fuzz takes for a fault: readers that do each wrong thing once are told from one that refuses as it should."""

import pytest

from . import mutations, worker
from .readers import Reader


class RefusalError(Exception):
    pass


def refuse(folder):
    raise RefusalError(f"{folder / 'sample'}: is damaged")


def tell_nothing(folder):
    raise RefusalError("something is wrong")


def tell_a_story(folder):
    raise RefusalError(f"{folder}: a line\nand another")


def stumble(folder):
    return {}["key"]


def run_out(folder):
    try:
        raise MemoryError
    except MemoryError:
        raise RefusalError(f"{folder}: too long") from None


def overwrite(folder):
    (folder / "other").write_bytes(b"")


def add(folder):
    (folder / "new").write_bytes(b"")


def hang(folder):
    while True:
        pass


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda folder: None, "read"),
        (refuse, "refused"),
        (tell_nothing, "names no file"),
        (tell_a_story, "is not a line to read"),
        (stumble, "KeyError"),
        (run_out, "asked for more memory"),
        (overwrite, "changed other"),
        (add, "changed new"),
        (hang, "took more than"),
    ],
)
def test_each_wrong_answer_is_told(read, said, tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "SECONDS", 0.05)

    def make(folder):
        for name in ("sample", "other"):
            (folder / name).write_bytes(b"0123456789")

    def when_damaged(folder):
        if (folder / "sample").read_bytes() != b"0123456789":
            read(folder)

    sample = worker.Sample(Reader("a", make, when_damaged, mutations.BYTES, (RefusalError,), "sample"), tmp_path / "a")
    assert said in sample.outcome(0)
    assert worker._contents(sample.folder) == sample.files  # made good for the next input


def test_the_same_number_is_the_same_damage(tmp_path):
    seen = []
    for name in "ab":
        folder = tmp_path / name
        reader = Reader(
            "a",
            lambda folder: (folder / "sample").write_bytes(bytes(99)),
            lambda folder: seen.append((folder / "sample").read_bytes()),
            mutations.BYTES,
        )
        sample = worker.Sample(reader, folder)
        assert [sample.outcome(number) for number in range(5)] == ["read"] * 5
    assert seen[:6] == seen[6:]
    assert len(set(seen)) > 3
