"""Retrieval benchmarks, one file a protocol. A new protocol is one file here with a FORM; nothing else names it."""

from __future__ import annotations

from pathlib import Path

from bcdh_lib.core.errors import StudyError, one_line
from bcdh_lib.core.registry import discover
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.benchmarks.form import Form, require_counts, require_folder
from bcdh_lib.retrieval.benchmarks.photo_files import require_photos
from bcdh_lib.study import Study

FORMS: dict[str, Form] = discover(__name__, "FORM")
MADE_BY_STUDY = {name: form for form in FORMS.values() for name in form.made_by_study}
PUBLISHED = {name: form for form in FORMS.values() for name in form.published}


def forms_by_folder(study: Study) -> dict[str, Form]:
    """Every benchmark folder that the study knows, and its form: made by the study, published, or the user's own.

    Raises StudyError if retrieval.own_benchmarks names an unknown form or uses a reserved name.
    """
    forms = MADE_BY_STUDY | PUBLISHED
    for name, form in study.params.retrieval.own_benchmarks.items():
        key = f"params.yaml: retrieval.own_benchmarks.{one_line(name)}"
        if name in forms or Path(name).name != name:
            raise StudyError(f"{key}: is reserved or no folder's name; rename the folder in {study.benchmarks}")
        if form not in FORMS:
            raise StudyError(f"{key}: form {one_line(form)} is unknown; known: {', '.join(FORMS)}")
        forms[name] = FORMS[form]
    return forms


def benchmark_names(study: Study) -> list[str]:
    """The benchmarks of retrieval.benchmarks in that order, once each; a name with variants stands for all of them."""
    forms, names = forms_by_folder(study), []
    for name in study.params.retrieval.benchmarks:
        names += _variants(name, forms[name]) if name in forms else [name]
    return list(dict.fromkeys(names))


def _variants(folder: str, form: Form) -> list[str]:
    return [f"{folder}_{variant}" if variant else folder for variant in form.variants]


def _place(study: Study, name: str) -> tuple[str, str]:
    """Folder and variant of the benchmark of that name. Raises StudyError."""
    forms = forms_by_folder(study)
    known = {
        full: (folder, variant)
        for folder, form in forms.items()
        for full, variant in zip(_variants(folder, form), form.variants, strict=True)
    }
    if name not in known:
        raise StudyError(
            f"params.yaml: retrieval.benchmarks: {one_line(name)} is unknown; known: {', '.join(known)}; "
            "name the form of your own under retrieval.own_benchmarks"
        )
    return known[name]


def check_benchmarks(study: Study) -> None:
    """Raise StudyError if a benchmark of retrieval.benchmarks is unknown, or not there although others have to bring it."""
    for name in benchmark_names(study):
        folder, _ = _place(study, name)
        if folder not in MADE_BY_STUDY:
            require_folder(study.benchmarks / folder, forms_by_folder(study)[folder])


def benchmark_folder(study: Study, name: str) -> Path:
    """Where the benchmark of that folder name lies: one that the study makes, next to its photos."""
    return (study.rendered_benchmarks if name in MADE_BY_STUDY else study.benchmarks) / name


def read_benchmark(study: Study, name: str) -> Benchmark:
    """The benchmark of that name. Raises StudyError if it is unknown, not there, or not of its protocol's form."""
    folder_name, variant = _place(study, name)
    form, folder = forms_by_folder(study)[folder_name], benchmark_folder(study, folder_name)
    require_folder(folder, form)
    benchmark = form.read(study, folder, variant)
    if folder_name in form.published:
        require_counts(folder, benchmark, form.published[folder_name])
    return benchmark


def read_benchmarks(study: Study) -> list[Benchmark]:
    """The benchmarks of retrieval.benchmarks, in that order. Raises StudyError."""
    return [read_benchmark(study, name) for name in benchmark_names(study)]


__all__ = [
    "FORMS",
    "PUBLISHED",
    "Benchmark",
    "Query",
    "benchmark_folder",
    "benchmark_names",
    "check_benchmarks",
    "read_benchmark",
    "read_benchmarks",
    "require_photos",
]
