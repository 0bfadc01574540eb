"""Ground truth as the authors of the revisited benchmarks publish it: gnd_NAME.pkl, read as plain data; no code in it runs.

A dict of `imlist` (names of the database photos; the ground truth counts in this order), `qimlist` (names of the queries'
photos) and `gnd`, one dict a query: `bbx` (left, top, right, bottom, px) and lists of rows of imlist: `ok` and `junk`, or
`easy`, `hard` and `junk` in the revisited form. The published files hold lists of plain numbers. A file with numpy arrays is
refused: building an array calls what the pickle names, with arguments of its choice.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from bcdh_lib.core.errors import StudyError
from bcdh_lib.core.files import read_plain_pickle
from bcdh_lib.core.settings import first_fault
from bcdh_lib.retrieval.benchmarks.benchmark import Query

Names = Annotated[list[str], Field(min_length=1)]
Rows = list[Annotated[int, Field(ge=0)]]


class Answers(BaseModel):
    """A query's box and junk; a form of ground truth adds the positives."""

    model_config = ConfigDict(strict=True)
    bbx: Annotated[list[FiniteFloat], Field(min_length=4, max_length=4)]
    junk: Rows

    @model_validator(mode="after")
    def box_not_empty(self) -> Self:
        left, top, right, bottom = self.bbx
        if not (0 <= left < right and 0 <= top < bottom):
            raise ValueError(f"the box {left} {top} {right} {bottom} is empty or outside its photo")
        return self


Form = TypeVar("Form", bound=Answers)


class GroundTruth(BaseModel, Generic[Form]):
    """A whole file. Query i's photo is qimlist[i], its answers are gnd[i]."""

    model_config = ConfigDict(strict=True)
    imlist: Names
    qimlist: Names
    gnd: list[Form]

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if len(self.qimlist) != len(self.gnd):
            raise ValueError(f"qimlist holds {len(self.qimlist)} queries, gnd {len(self.gnd)}")
        for key, names in (("imlist", self.imlist), ("qimlist", self.qimlist)):
            if len(set(names)) < len(names):
                raise ValueError(f"{key}: a name repeats")
        for place, answers in enumerate(self.gnd):
            for kind, rows in answers.model_dump(exclude={"bbx"}).items():
                if max(rows, default=0) >= len(self.imlist):
                    raise ValueError(f"gnd.{place}.{kind}: {max(rows)} is beyond imlist, which holds {len(self.imlist)} names")
        return self

    def queries(self, positives: Sequence[str], junk: Sequence[str]) -> list[Query]:
        """The queries, each named by its photo; photos of the kinds `positives` answer it, those of `junk` alone are dropped."""
        found = []
        for photo, answers in zip(self.qimlist, self.gnd, strict=True):
            answering, dropped = (
                frozenset(self.imlist[row] for kind in kinds for row in getattr(answers, kind)) for kinds in (positives, junk)
            )
            left, top, right, bottom = answers.bbx
            box = (left, top, right, bottom)
            found.append(Query(photo, photo, box, answering, dropped - answering, landmark_of(photo)))
        return found


def landmark_of(name: str) -> str:
    """What a query shows, by its name: all_souls_1, all_souls_000013 and all_souls_000013_1 -> all_souls."""
    return re.sub(r"(_\d{6})?_\d+$", "", name)


def gnd_file(folder: Path) -> Path:
    """Path of the ground truth in a benchmark's folder; it need not exist."""
    return folder / f"gnd_{folder.name}.pkl"


def read_gnd(file: Path, form: type[Form]) -> GroundTruth[Form]:
    """The ground truth of a file in that form. Raises StudyError if it is absent, in another form or contains code."""
    try:
        return GroundTruth[form].model_validate(read_plain_pickle(file))  # type: ignore[valid-type]
    except StudyError as error:
        raise StudyError(f"{error}; put the published {file.name} there") from None
    except ValidationError as error:
        raise StudyError(f"{file}: {first_fault(error)}; put the published {file.name} there") from None
