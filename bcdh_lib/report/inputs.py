"""What people change by hand, in the form that DVC's stages depend on: `python -m bcdh_lib.report.inputs`.

It runs at the start of every `dvc repro`: it checks all settings, so that a wrong one stops the run at once; lists the photos and
published benchmarks that others put there; and writes copies of the notebooks without outputs to work/stripped. Stages depend on
those copies, so a notebook that is open, executed and saved in JupyterLab is neither changed nor executed again.
"""

import sys

import nbformat

from bcdh_lib.core.errors import exit_code
from bcdh_lib.core.files import write_bytes
from bcdh_lib.pairs.make import source_of
from bcdh_lib.photos import listing
from bcdh_lib.report.execute import read_notebook, stripped
from bcdh_lib.retrieval.benchmarks import check_benchmarks
from bcdh_lib.study import Study, open_study
from bcdh_lib.training.backbones import check_backbone
from bcdh_lib.training.losses import check_losses


def write_inputs(study: Study) -> None:
    """Check what registries know of, then write data/{listing,published}.txt and work/stripped/NAME.ipynb. Raises StudyError."""
    check_backbone(study.params.network.backbone)
    check_losses(study.params)
    source_of(study)
    check_benchmarks(study)
    listing.write_listing(study)
    write_bytes(study.root / "data/published.txt", listing.HEADING + listing.list_published(study))
    for path in sorted((study.root / "notebooks").glob("*.ipynb")):
        write_bytes(study.root / "work/stripped" / path.name, nbformat.writes(stripped(read_notebook(path))).encode())


if __name__ == "__main__":
    sys.exit(exit_code(lambda: write_inputs(open_study()), "stopped"))
