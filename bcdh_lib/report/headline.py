"""The study's headline: what this run was made of and how well it retrieves, and the comparison over seeds beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.text import one_line
from bcdh_lib.report.figures.style import METHODS, face
from bcdh_lib.retrieval.score import FLOAT, OURS, PRETRAINED, WHITENED
from bcdh_lib.retrieval.shallow import SHALLOW
from bcdh_lib.study import find_root
from bcdh_lib.training.losses import LOSSES

COUNTS = {
    "photos": "photos in the pile",
    "left_out": "files left out",
    "models": "3D models",
    "registered": "photos in a model",
    "pairs": "similar pairs",
}
SHOWN = (*LOSSES, *SHALLOW, FLOAT, WHITENED, PRETRAINED)
Share = Annotated[float, Field(ge=0, le=1)]


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
    """The metrics at `path`. Raises StudyError where the file is absent or not of its form."""
    if not path.is_file():
        raise StudyError(f"{path}: is not there; make it with: dvc repro")
    try:
        return Metrics.model_validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "(the whole file)"
        message = fault["msg"].removeprefix("Value error, ")
        raise StudyError(f"{path}: {place}: {message}; make it anew with: dvc repro") from None


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


@dataclass(frozen=True)
class StudyRow:
    """A method of the comparison over seeds: mAP with its interval a code length, as text; empty where it has none."""

    label: str
    ours: bool
    cells: list[str]
    best: list[bool]


@dataclass(frozen=True)
class StudyHeadline:
    """The comparison over seeds in a table; the last of `lengths` is None: real vectors."""

    seeds: int
    lengths: list[int | None]
    rows: list[StudyRow]


def study_headline(mean: pd.DataFrame) -> StudyHeadline:
    """Trained codes, shallow codes of the float parent, real vectors, in the order of style.METHODS; from mean.csv."""
    mean = mean[mean["method"].isin(SHOWN)]
    lengths: list[int | None] = [*sorted({int(bits) for bits in mean["bits"].dropna()}), None]
    found = {(row.method, None if pd.isna(row.bits) else int(row.bits)): row for row in mean.itertuples()}
    top = {bits: max((row.map for (_, each), row in found.items() if each == bits), default=0.0) for bits in lengths if bits}
    rows = []
    for method in [method for method in METHODS if any(method == each for each, _ in found)]:
        own = [found.get((method, bits)) for bits in lengths]
        cells = ["" if row is None else _with_interval(row.map, row.high - row.map) for row in own]
        best = [row is not None and bits is not None and row.map == top[bits] for row, bits in zip(own, lengths, strict=True)]
        rows.append(StudyRow(face(method).label, method == OURS, cells, best))
    return StudyHeadline(int(mean["seeds"].max()), lengths, rows)


def _with_interval(value: float, half: float) -> str:
    return f"{value:.3f}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{half:.3f}" if half > 0.0005 else f"{value:.3f}"


def read_mean(root: Path, name: str = "mean") -> pd.DataFrame | None:
    """reports/study/mean.csv, or one of BESIDE; None where it is not there. Raises StudyError where it is unreadable."""
    path = root / f"reports/study/{name}.csv"
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path)[["method", "bits", "seeds", "map", "high", "share_of_float", "win", "tie", "loss"]]
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{path}: is not readable ({one_line(error)}); bring it back with git checkout") from None


MARKS = ("<!-- headline: written by python -m bcdh_lib.report.headline -->", "<!-- end of the headline -->")


BESIDE = {
    "from_parent": "Started from the float parent in the place of the pretrained network",
    "larger_pile": "Learned from a pile four times as large in three times as many steps, tuned on such a pile",
}
"""Tables of the form of mean.csv, and how what they say begins."""


def read_beside(root: Path) -> dict[str, pd.DataFrame]:
    """The tables of BESIDE that are there."""
    return {name: table for name in BESIDE if (table := read_mean(root, name)) is not None}


def markdown(mean: pd.DataFrame, beside: dict[str, pd.DataFrame] | None = None) -> str:
    """The headline table in Markdown, and below it what the tables of BESIDE say: nothing in it is typed by hand."""
    table = study_headline(mean)
    heads = [f"{bits} bits" if bits else "real vectors" for bits in table.lengths]
    lines = [["mAP", *heads], ["---"] * (1 + len(heads))]
    for row in table.rows:
        cells = [f"**{cell}**" if best else cell for cell, best in zip(row.cells, row.best, strict=True)]
        lines.append([f"**{row.label}**" if row.ours else row.label, *cells])
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([in_words(mean), rows, *(beside_in_words(BESIDE[name], each) for name, each in (beside or {}).items())])


def in_words(mean: pd.DataFrame) -> str:
    """What the comparison over seeds found, in sentences whose every figure comes from mean.csv."""
    coded = mean[mean["bits"].notna() & mean["method"].isin(SHOWN)]
    ours, others = coded[coded["method"] == OURS].set_index("bits"), coded[coded["method"] != OURS]
    best = others.loc[others.groupby("bits")["map"].idxmax()].set_index("bits")
    first = [int(bits) for bits in ours.index if bits in best.index and ours.loc[bits, "map"] > best.loc[bits, "map"]]
    behind = best.loc[[bits for bits in best.index if int(bits) not in first]]
    leaders = "; ".join(
        f"{face(str(method)).label} at {', '.join(str(int(bits)) for bits in rows.index)}"
        for method, rows in behind.groupby("method")
    )
    longest = ours.index.max()
    leading = (
        f"Ours has the highest mean at {', '.join(map(str, first))} bits" if first else "Ours has the highest mean at no length"
    )
    kept, kept_by_best = (table.loc[longest, "share_of_float"] for table in (ours, best))
    seeds, first_are = int(mean["seeds"].max()), f"; first are {leaders} bits" if leaders else ""
    return (
        f"mAP, mean over three rendered benchmarks and {seeds} seeds, ± half its 95 % interval over the seeds. "
        f"**{leading}{first_are}.** After Holm's correction ours, by benchmark and length, "
        f"{_counted(coded, tuple(LOSSES))} against the other losses, {_counted(coded, tuple(SHALLOW))} against shallow codes of "
        f"the float parent. At {int(longest)} bits it keeps {kept:.0%} of the float parent's mAP, the best other code "
        f"{kept_by_best:.0%}."
    )


def beside_in_words(opening: str, table: pd.DataFrame) -> str:
    """What a table of BESIDE says, after its opening."""
    coded = table[table["bits"].notna() & table["method"].isin((*LOSSES, *SHALLOW))]
    lengths = sorted(coded["bits"].unique())

    def maps(methods: tuple[str, ...]) -> str:
        best = coded[coded["method"].isin(methods)].groupby("bits")["map"].max()
        return ", ".join(f"{best[bits]:.3f}" for bits in lengths)

    others = tuple(method for method in LOSSES if method != OURS)
    return (
        f"{opening} ({int(table['seeds'].max())} seeds), ours has "
        f"{maps((OURS,))} at {', '.join(str(int(bits)) for bits in lengths)} bits, the best other loss {maps(others)}, the best "
        f"shallow code of the parent {maps(tuple(SHALLOW))}; ours {_counted(coded, others)} against the losses, "
        f"{_counted(coded, tuple(SHALLOW))} against shallow codes."
    )


def _counted(coded: pd.DataFrame, methods: tuple[str, ...]) -> str:
    win, tie, loss = coded.loc[coded["method"].isin(methods), ["win", "tie", "loss"]].sum().astype(int)
    return f"has {win} wins, {tie} ties and {loss} losses"


def main() -> None:
    """Put the comparison over seeds, reports/study/mean.csv and what stands beside it, into README.md, between its two marks."""
    root = find_root()
    readme = root / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    mean = read_mean(root)
    if mean is None:
        raise SystemExit(f"{root / 'reports/study/mean.csv'}: is not there; make it with: make study")
    table = markdown(mean, read_beside(root))
    readme.write_text(f"{before}{MARKS[0]}\n\n{table}\n\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
