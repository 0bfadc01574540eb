"""What people change by hand, in the form that DVC's stages depend on: `python -m bcdh_lib.report.inputs`.

It runs at the start of every `dvc repro`: it checks all settings, so that a wrong one stops the run at once; lists the photos and
published benchmarks that others put there; and writes copies of the notebooks without outputs to work/stripped. Stages depend on
those copies, so a notebook that is open, executed and saved in JupyterLab is neither changed nor executed again.
"""

import json
import sys

from bcdh_lib.core.code import code_digest
from bcdh_lib.core.errors import exit_code
from bcdh_lib.core.files import write_bytes
from bcdh_lib.pairs.make import source_of
from bcdh_lib.photos.listing import list_published, write_listing
from bcdh_lib.report.notebook import stripped_text
from bcdh_lib.retrieval.benchmarks import check_benchmarks
from bcdh_lib.study import Study, open_study


def write_inputs(study: Study) -> None:
    """Check what registries know of, then write data/{listing,published}.txt and work/stripped/NAME.ipynb. Raises StudyError."""
    _check_training(study)
    source_of(study)
    check_benchmarks(study)
    write_listing(study)
    write_bytes(study.root / "data/published.txt", list_published(study))
    for path in sorted((study.root / "notebooks").glob("*.ipynb")):
        write_bytes(study.root / "work/stripped" / path.name, stripped_text(path).encode())


def _check_training(study: Study) -> None:
    """Check backbone and losses, unless the same settings were checked before: importing torch takes seconds."""
    checked, settings = study.work / "checked.json", study.params.model_dump(include={"network", "training", "losses"})
    origin = json.dumps([settings, code_digest("bcdh_lib.training.backbones", "bcdh_lib.training.losses")]).encode()
    if not (checked.is_file() and checked.read_bytes() == origin):
        from bcdh_lib.training.backbones import check_backbone
        from bcdh_lib.training.losses import check_losses

        check_backbone(study.params.network.backbone)
        check_losses(study.params)
        write_bytes(checked, origin)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: write_inputs(open_study()), "stopped"))
