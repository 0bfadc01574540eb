"""The pairs, as figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bcdh_lib.report.figures import pairs
from bcdh_lib.report.figures.style import Drawn

from .conftest import Printed


def table(count: int = 20) -> pd.DataFrame:
    """Pair i joins photos 2 i and 2 i + 1 of model i mod 3, and shares 1 - i / count of the query's points."""
    place = np.arange(count)
    return pd.DataFrame(
        {
            "query_id": 2 * place,
            "positive_id": 2 * place + 1,
            "model_id": place % 3,
            "shared_points": 100 - place,
            "shared_share": 1 - place / count,
            "scale_change": 1 + place / 100,
        }
    )


def words_of(drawn: Drawn) -> list[str]:
    return [text.get_text() for text in drawn[0].axes[0].texts]


def test_similar_pairs_run_from_easy_to_hard_over_all_models(printed: Printed, image: Callable[[int], Path]) -> None:
    drawn = printed(pairs.similar_gallery, table().sample(frac=1, random_state=0), image, shown=4)
    words = words_of(drawn)
    assert words[0] == "shares 100% (100 points)\nscale × 1.00, model 0"
    assert words[-1] == "shares 5% (81 points)\nscale × 1.19, model 1"
    assert {text[-1] for text in words} == {"0", "1", "2"}
    assert drawn[1] == "4 similar pairs of 20, their shared share from 100% to 5%."


def test_a_pair_and_its_mirror_are_shown_once(printed: Printed, image: Callable[[int], Path]) -> None:
    mirrored = table(2).rename(columns={"query_id": "positive_id", "positive_id": "query_id"})
    assert len(words_of(printed(pairs.similar_gallery, pd.concat([table(2), mirrored]), image))) == 2


def test_pairs_that_do_not_say_what_they_share(printed: Printed, image: Callable[[int], Path]) -> None:
    published = table(3).assign(shared_share=np.nan, shared_points=pd.array([pd.NA] * 3, "Int32"), scale_change=np.nan)
    drawn = printed(pairs.similar_gallery, published, image)
    assert words_of(drawn)[0] == "photos 0 and 1\nmodel 0"
    printed(pairs.histograms, published)


@pytest.fixture
def members() -> pd.DataFrame:
    return pd.DataFrame({"photo_id": range(12), "model_id": np.repeat([5, 6, 7], 4), "group_id": np.repeat([0, 1, 2], 4)})


def test_hard_pairs_lie_across_groups_and_show_no_photo_twice(
    printed: Printed, image: Callable[[int], Path], members: pd.DataFrame
) -> None:
    candidates = pd.DataFrame(
        {"photo_id": [0, 0, 0, 1, 2, 3], "other_id": [1, 4, 5, 8, 30, 9], "inliers": [300, 12, 11, 1, 200, 0]}
    )  # 0, 1: one group; 0, 5: photo 0 again; 2, 30: photo 30 in no model
    drawn = printed(pairs.dissimilar_gallery, members, image, candidates)
    assert words_of(drawn) == ["12 verified matches", "1 verified match", "no verified match"]
    assert drawn[1] == "3 hard dissimilar pairs, 12 verified matches to no verified match."


def test_random_dissimilar_pairs_lie_across_groups(printed: Printed, image: Callable[[int], Path], members: pd.DataFrame) -> None:
    words = words_of(printed(pairs.dissimilar_gallery, members, image, shown=6))
    assert len(words) == 6
    for text in words:
        one, other = (int(word) for word in text.split()[1::2])
        assert one // 4 != other // 4
    printed(pairs.dissimilar_gallery, members.iloc[:0], image)


def test_mined_pairs_are_the_nearest_codes_of_other_groups(
    printed: Printed, image: Callable[[int], Path], members: pd.DataFrame
) -> None:
    outputs = np.random.default_rng(0).normal(size=(12, 16))
    outputs[7] = -outputs[2]
    outputs[7, 3] *= -1
    outputs[2] *= -1  # photos 2 and 7 now differ in one bit
    drawn = printed(pairs.mined_gallery, outputs, members, image)
    slow = min(((outputs[i] >= 0) != (outputs[j] >= 0)).sum() for i in range(12) for j in range(12) if i // 4 != j // 4)
    assert words_of(drawn)[0] == f"{slow} of 16 bits apart\nmodels 5 and 6" == "1 of 16 bits apart\nmodels 5 and 6"
    assert drawn[1].startswith(f"{len(words_of(drawn))} dissimilar pairs whose codes are nearest, 1 of 16 bits apart to ")
    assert "no such pair" in words_of(printed(pairs.mined_gallery, outputs, members.assign(group_id=0), image))


def test_histograms_count_every_pair_and_every_photo(printed: Printed) -> None:
    members = pd.DataFrame({"photo_id": [*range(0, 42, 2), *range(100, 119)]})
    figure, alt = printed(pairs.histograms, table(21), members)
    counts = [sum(bar.get_height() for bar in panel.patches) for panel in figure.axes]
    assert counts == [21, 21, 40]
    assert "21 similar pairs: median shared share 0.52, median scale change 1.10, 19 of 40 photos have no positive." in alt


def test_histograms_of_no_pair(printed: Printed) -> None:
    printed(pairs.histograms, table(0))
    printed(pairs.histograms, table(0), pd.DataFrame({"photo_id": [1, 2]}))


def test_precision_is_rounded_down(printed: Printed) -> None:
    figure, alt = printed(pairs.precision_bars, {"similar_precision": 1.0, "dissimilar_precision": 0.99999, "group_purity": 0.5})
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.5, 0.99999, 1]
    assert [text.get_text() for text in figure.axes[0].texts] == ["50.00%", "99.99%", "100.00%"]
    assert alt.startswith("similar pairs that show one landmark: 100.00%; dissimilar pairs that show two: 99.99%")


@pytest.mark.parametrize("figures", [{}, {"similar_precision": float("nan")}])
def test_where_no_truth_is_known_it_is_said(printed: Printed, figures: dict[str, float]) -> None:
    _, alt = printed(pairs.precision_bars, figures)
    assert alt.startswith("The truth about these photos is not known")
