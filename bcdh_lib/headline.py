"""reports/metrics.json as the study's headline: what this run was made of, and a table of methods by benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bcdh_lib.figures.style import METHODS, face
from bcdh_lib.study import find_root

COUNTS = {
    "photos": "photos in the pile",
    "left_out": "files left out",
    "models": "3D models",
    "registered": "photos in a model",
    "pairs": "similar pairs",
}
Share = Annotated[float, Field(ge=0, le=1)]


class MetricsError(ValueError):
    """A metrics.json that is absent or not of its form; the message names the file, the place and the mend."""


class Score(BaseModel):
    """How one method retrieves on one benchmark: mAP expected over ties, and under the best and the worst order of ties."""

    model_config = ConfigDict(frozen=True)
    benchmark: str
    method: str
    bits: Annotated[int, Field(gt=0)] | None
    map: Share
    map_best: Share
    map_worst: Share
    map_rectangle: Share

    @model_validator(mode="after")
    def bounds_in_order(self) -> Score:
        if not self.map_worst - 1e-9 <= self.map <= self.map_best + 1e-9:
            raise ValueError(f"map lies outside map_worst to map_best in {self.benchmark}, {self.method}, {self.bits} bits")
        return self


class Metrics(BaseModel):
    """The parts of metrics.json that the site shows; it may hold more."""

    counts: dict[str, Annotated[int, Field(ge=0)]]
    retrieval: Annotated[list[Score], Field(min_length=1)]

    @model_validator(mode="after")
    def each_once(self) -> Metrics:
        keys = [(score.benchmark, score.method, score.bits) for score in self.retrieval]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        if repeated:
            raise ValueError(f"{repeated} stands there more than once")
        return self

    @property
    def labelled_counts(self) -> list[tuple[str, int]]:
        """The counts under words a reader knows, in the pipeline's order; further ones follow under their own name."""
        known = [key for key in COUNTS if key in self.counts]
        return [(COUNTS.get(key, key.replace("_", " ")), self.counts[key]) for key in dict.fromkeys([*known, *self.counts])]


@dataclass(frozen=True)
class Cell:
    map: str
    bounds: str  # empty where ties change nothing
    best: bool  # of several methods at this code length


@dataclass(frozen=True)
class Row:
    label: str
    bits: int | None
    ours: bool
    cells: list[Cell | None]


@dataclass(frozen=True)
class Headline:
    benchmarks: list[str]
    rows: list[Row]


def read_metrics(path: Path) -> Metrics:
    """The metrics at `path`. Raises MetricsError where the file is absent or not of its form."""
    if not path.is_file():
        raise MetricsError(f"{path}: is not there; make it with: dvc repro")
    try:
        return Metrics.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "(the whole file)"
        message = fault["msg"].removeprefix("Value error, ")
        raise MetricsError(f"{path}: {place}: {message}; make it anew with: dvc repro") from None


def headline(metrics: Metrics) -> Headline:
    """A row a method and code length, in the order of style.METHODS; a column a benchmark, in the file's order."""
    scores = {(score.method, score.bits, score.benchmark): score for score in metrics.retrieval}
    benchmarks = list(dict.fromkeys(score.benchmark for score in metrics.retrieval))
    order = list(dict.fromkeys([*METHODS, *(score.method for score in metrics.retrieval)]))
    runs = sorted({(method, bits) for method, bits, _ in scores}, key=lambda run: (order.index(run[0]), run[1] or 0))
    rows = []
    for method, bits in runs:
        cells = [_cell(scores.get((method, bits, benchmark)), metrics.retrieval) for benchmark in benchmarks]
        rows.append(Row(face(method).label, bits, method == "binary_constrained", cells))
    return Headline(benchmarks, rows)


def _cell(score: Score | None, scores: list[Score]) -> Cell | None:
    if score is None:
        return None
    rivals = [each.map for each in scores if (each.bits, each.benchmark) == (score.bits, score.benchmark)]
    best = score.bits is not None and len(rivals) > 1 and score.map == max(rivals)
    worst, top = f"{score.map_worst:.3f}", f"{score.map_best:.3f}"
    return Cell(f"{score.map:.3f}", f"{worst} to {top}" if worst != top else "", best)


MARKS = ("<!-- headline: written by python -m bcdh_lib.headline -->", "<!-- end of the headline -->")


def markdown(metrics: Metrics) -> str:
    """The headline table in Markdown, with the figures of this run: nothing in it is typed by hand."""
    table = headline(metrics)
    lines = [["method", "bits", *table.benchmarks], ["---"] * (2 + len(table.benchmarks))]
    for row in table.rows:
        cells = ["" if cell is None else f"**{cell.map}**" if cell.best else cell.map for cell in row.cells]
        lines.append([row.label, str(row.bits or "real"), *cells])
    counts = ", ".join(f"{count:,} {label}" for label, count in metrics.labelled_counts)
    return f"mAP, expected over ties, one seed; of {counts}.\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Put the headline of reports/metrics.json into README.md, between its two marks."""
    root = find_root()
    readme = root / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    table = markdown(read_metrics(root / "reports/metrics.json"))
    readme.write_text(f"{before}{MARKS[0]}\n\n{table}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
