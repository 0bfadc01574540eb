"""params.yaml as typed, validated settings. Units and meanings are next to each key in params.yaml."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.settings import NotNegative, Positive, Section, Share, key_and_fault, read_yaml

_brief = reprlib.Repr()
"""Truncated repr for error messages."""
_brief.maxlevel, _brief.maxstring, _brief.maxother = 2, 80, 80


class Run(Section):
    seed: NotNegative
    threads: Positive


class Photos(Section):
    source: str
    folder: str | None
    exclude: list[str] = Field(default=[])
    max_side: Annotated[int, Field(ge=64)]
    min_side: Positive
    max_megapixels: Annotated[float, Field(gt=0)]


class Rendered(Section):
    landmarks: Annotated[int, Field(ge=2)]
    photos_per_landmark: Annotated[int, Field(ge=3)]
    strays: NotNegative
    width: Annotated[int, Field(ge=64)]
    height: Annotated[int, Field(ge=64)]
    benchmark_landmarks: Annotated[int, Field(ge=2)]
    photos_per_benchmark_landmark: Annotated[int, Field(ge=2)]
    queries_per_landmark: Positive
    distractors: NotNegative
    holidays_groups: Annotated[int, Field(ge=2)]


class Cluster(Section):
    """Where the reconstruction is computed; it does not change the results, so no stage of dvc.yaml depends on it."""

    scheduler: str | None


class Reconstruction(Section):
    max_features: Annotated[int, Field(ge=64)]
    candidates: Literal["words", "exhaustive"]
    words: Annotated[int, Field(ge=2)]
    neighbours: Positive
    far_neighbours: NotNegative
    min_inliers: Positive
    min_start_inliers: Positive
    min_pose_inliers: Positive
    min_model_size: Annotated[int, Field(ge=2)]
    min_link_inliers: Positive
    max_bridge: Share


class Pairs(Section):
    source: str  # checked by its registry, bcdh_lib.pairs.sources
    database: str | None
    min_shared: Share
    max_scale_change: Annotated[float, Field(ge=1)]
    validation_share: Annotated[float, Field(gt=0, lt=1)]
    test_share: Annotated[float, Field(ge=0, lt=1)]


class Network(Section):
    backbone: str  # checked by training.backbones, which finds them
    side: Annotated[int, Field(ge=32)]
    frozen_blocks: NotNegative
    gem_power: Annotated[float, Field(ge=1)]
    whitening: Annotated[float, Field(gt=0)] | None


class TrainingRun(Section):
    method: str
    bits: Annotated[int, Field(gt=0, multiple_of=8)] | None

    @model_validator(mode="after")
    def bits_where_hashed(self) -> Self:
        if (self.method == "float") != (self.bits is None):
            raise ValueError("bits is null for the float baseline, and a multiple of 8 for every other method")
        return self

    @property
    def name(self) -> str:
        return run_name(self.method, self.bits)


def run_name(method: str, bits: int | None) -> str:
    """What files and tables call a method at a code length; the method alone for real vectors."""
    return method if bits is None else f"{method}-{bits}"


class BaselineTraining(Section):
    rounds: Positive
    steps_per_round: Positive
    tuples: Annotated[int, Field(ge=2)]
    negatives: Positive
    views: NotNegative
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    margin: Annotated[float, Field(gt=0, le=2)]
    trained_share: Annotated[float, Field(gt=0, le=1)]


class LayerTraining(Section):
    rounds: Positive
    steps_per_round: Positive
    photos: Annotated[int, Field(ge=2)]
    places: Annotated[int, Field(ge=2)]


class EndToEndTraining(LayerTraining):
    rounds: NotNegative
    learning_rate: Annotated[float, Field(gt=0)]
    layer_share: Annotated[float, Field(ge=0)]


class Training(Section):
    runs: Annotated[list[TrainingRun], Field(min_length=1)]
    float_baseline: BaselineTraining
    hash_layer: LayerTraining
    end_to_end: EndToEndTraining


class Retrieval(Section):
    benchmarks: Annotated[list[str], Field(min_length=1)]
    own_benchmarks: dict[str, str]
    radius: NotNegative


class Params(Section):
    run: Run
    photos: Photos
    rendered: Rendered
    cluster: Cluster
    reconstruction: Reconstruction
    pairs: Pairs
    network: Network
    training: Training
    losses: dict[str, dict[str, float | str | bool | None]]
    retrieval: Retrieval


def load_params(path: Path, changes: Mapping[str, Any] | None = None) -> Params:
    """Settings of the file at `path`, with `changes` (any subset of keys) laid over them. Raises StudyError, a line a fault."""
    try:
        settings = read_yaml(Path(path))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror}); restore it with: git checkout params.yaml") from None
    except ValueError as error:
        raise StudyError(f"{path}: is not YAML ({error})") from None
    if not isinstance(settings, dict):
        raise StudyError(f"{path}: holds no settings; restore it with: git checkout params.yaml")
    try:
        return Params.model_validate(_laid_over(settings, changes or {}))
    except ValidationError as error:
        raise StudyError("\n".join(_fault(path, fault) for fault in error.errors())) from None


def _fault(path: Path, fault: Any) -> str:
    """One line: the file, the dotted key, what is wrong, and what is known there or was found."""
    (key, said), found = key_and_fault(fault), f", got {_brief.repr(fault['input'])}"
    if fault["type"] == "extra_forbidden":
        said, found = "unknown key", f"; known here: {', '.join(_section(fault['loc'][:-1]).model_fields)}"
    elif fault["type"] == "missing":
        said, found = "is missing", "; to see what was there: git diff params.yaml"
    return f"{path}: {key or '(the whole file)'}: {said}{found}"


def _section(place: tuple[int | str, ...]) -> type[Section]:
    """The settings at a place of the file."""
    section: type[Section] = Params
    for part in (each for each in place if isinstance(each, str)):
        kind = section.model_fields[part].annotation
        section = next(each for each in (kind, *get_args(kind)) if isinstance(each, type) and issubclass(each, Section))
    return section


def _laid_over(settings: Any, changes: Any) -> Any:
    if not (isinstance(settings, Mapping) and isinstance(changes, Mapping)):
        return changes
    return {**settings, **{key: _laid_over(settings.get(key), value) for key, value in changes.items()}}
