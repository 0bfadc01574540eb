"""Expectations that the tests of several folders share."""

from contextlib import contextmanager

import pytest

from bcdh_lib.core.errors import StudyError


@contextmanager
def refused(message):
    """Expects a StudyError of one line in which the pattern is found."""
    with pytest.raises(StudyError, match=message) as caught:
        yield
    assert len(str(caught.value).splitlines()) == 1


def contents(folder):
    """The bytes of every file below a folder, by its path there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
