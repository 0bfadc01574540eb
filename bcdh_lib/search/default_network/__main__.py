"""`python -m bcdh_lib.search.default_network CHECKPOINT` makes a study's checkpoint (.safetensors) the default network."""

import sys
from pathlib import Path

from bcdh_lib.core.errors import StudyError
from bcdh_lib.search.default_network.files import pack_network


def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        path = pack_network(Path(arguments[0]))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
