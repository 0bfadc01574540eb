"""The one error of the library, the text of its messages, and how a command ends with it."""

import sys
from collections.abc import Callable


class StudyError(Exception):
    """Something the user can fix. The message is one line (or one a fault); it names the file or setting and the fix."""


def one_line(said: object, most: int = 200) -> str:
    """Text from a file or a library as part of one line: no line breaks, only printable characters, at most `most` of them."""
    text = " ".join(str(said)[: 2 * most].split())[:most]
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def exit_code(command: Callable[[], int | None], stopped: str, faults: tuple[type[Exception], ...] = (StudyError,)) -> int:
    """Run a command. Returns its own code (None counts as 0); or, with a line on stderr, 1 after a fault and 130 after Ctrl-C."""
    try:
        return command() or 0
    except faults as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
