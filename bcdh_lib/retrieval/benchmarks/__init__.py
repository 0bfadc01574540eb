"""Retrieval benchmarks, one file a protocol. A new protocol is one file here with a FORM; nothing else names it."""

from pathlib import Path

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.registry import discover
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark
from bcdh_lib.retrieval.benchmarks.form import Form, require_counts, require_folder
from bcdh_lib.study import Study

FORMS: dict[str, Form] = discover(__name__, "FORM")
MADE_BY_STUDY = {name: form for form in FORMS.values() for name in form.made_by_study}
PUBLISHED = {name: form for form in FORMS.values() for name in form.published}


Known = tuple[str, Form, str]
"""A benchmark that the study knows: the name of its folder, the form it has there, and one of the form's variants."""


def known_benchmarks(study: Study) -> dict[str, Known]:
    """Every benchmark by name: made by the study, published, or the user's own. Raises StudyError for a wrong own one."""
    forms = MADE_BY_STUDY | PUBLISHED
    for name, form in study.params.retrieval.own_benchmarks.items():
        key = f"params.yaml: retrieval.own_benchmarks.{one_line(name)}"
        if name in forms or Path(name).name != name:
            raise StudyError(f"{key}: is reserved or no folder's name; rename the folder in {study.benchmarks}")
        if form not in FORMS:
            raise StudyError(f"{key}: form {one_line(form)} is unknown; known: {', '.join(FORMS)}")
        forms[name] = FORMS[form]
    known = [(folder, form, variant) for folder, form in forms.items() for variant in form.variants]
    return {f"{folder}_{variant}" if variant else folder: (folder, form, variant) for folder, form, variant in known}


def benchmark_names(study: Study) -> list[str]:
    """The benchmarks of retrieval.benchmarks in that order, once each; a folder with variants means all of them."""
    known, names = known_benchmarks(study), []
    for name in study.params.retrieval.benchmarks:
        names += [full for full, (folder, _, _) in known.items() if name == folder] or [name]
    return list(dict.fromkeys(names))


def _known(study: Study, name: str) -> Known:
    """The benchmark of that name. Raises StudyError."""
    known = known_benchmarks(study)
    if name not in known:
        raise StudyError(
            f"params.yaml: retrieval.benchmarks: {one_line(name)} is unknown; known: {', '.join(known)}; "
            "name the form of your own under retrieval.own_benchmarks"
        )
    return known[name]


def check_benchmarks(study: Study) -> None:
    """Raise StudyError if a benchmark of retrieval.benchmarks is unknown, or not there although others have to bring it."""
    for folder, form, _ in (_known(study, name) for name in benchmark_names(study)):
        if folder not in MADE_BY_STUDY:
            require_folder(study.benchmarks / folder, form)


def benchmark_folder(study: Study, name: str) -> Path:
    """The folder of the benchmark of that folder name: one that the study makes is next to its photos."""
    return (study.rendered_benchmarks if name in MADE_BY_STUDY else study.benchmarks) / name


def read_benchmark(study: Study, name: str) -> Benchmark:
    """The benchmark of that name. Raises StudyError if it is unknown, not there, or not of its protocol's form."""
    name, form, variant = _known(study, name)
    folder = benchmark_folder(study, name)
    require_folder(folder, form)
    benchmark = form.read(study, folder, variant)
    if name in form.published:
        require_counts(folder, benchmark, form.published[name])
    return benchmark


def read_benchmarks(study: Study) -> list[Benchmark]:
    """The benchmarks of retrieval.benchmarks, in that order. Raises StudyError."""
    return [read_benchmark(study, name) for name in benchmark_names(study)]
