"""How every command ends: its exit code, and one line instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bcdh_lib.core.errors import StudyError


def exit_code(command: Callable[[], int | None], stopped: str, faults: tuple[type[Exception], ...] = (StudyError,)) -> int:
    """Run a command. Returns its own code (None counts as 0), 1 after one of `faults`, or 130 after Ctrl-C.

    The fault, or the line `stopped`, goes to stderr.
    """
    try:
        return command() or 0
    except faults as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
