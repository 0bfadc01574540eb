"""The site: articles, its explorer's data by hand, complete, offline, equal each time, not written if something is missing."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from PIL import Image

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report import explorer
from bcdh_lib.report.article import read_article
from bcdh_lib.report.explorer import explorer_files
from bcdh_lib.report.site import build_site, main
from bcdh_lib.retrieval.benchmarks.benchmark import Benchmark, Query
from bcdh_lib.retrieval.codes import BenchmarkCodes, write_system_codes
from bcdh_lib.retrieval.systems import System
from tests.helpers import contents, refused
from tests.report.made_study import NAMES, REAL, TABLES, make_study, picture, write_notebook, write_page, write_tables

PIXEL = base64.b64encode(b"\x89PNG a picture").decode()
VIEW = "application/vnd.plotly.v1+json"


def article(tmp_path, *cells, title="# Pairs\n\nPairs of *photos*."):
    write_notebook(tmp_path / "03_pairs.ipynb", title, *cells)
    return read_article(tmp_path / "03_pairs.ipynb")


def shows(data, metadata=None):
    return new_code_cell("figure()", outputs=[new_output("display_data", data=data, metadata=metadata or {})])


def words(html):
    """What a reader sees, without code."""
    return re.sub(r"<[^>]*>", "", re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", html))


def test_formulas_become_mathml_and_code_stays(tmp_path):
    formulas = "A share $|P| > 0.2$ and\n\n$$\\frac{\\lambda}{2} \\lVert u - a \\rVert^2$$\n\n"
    html = article(tmp_path, new_markdown_cell(formulas + "`$x$` stays\n\n```text\nPID is $$\n```\n")).html
    assert html.count("<math ") == 2
    assert 'display="block"><mrow><mfrac>' in html
    assert "$" not in words(html)
    assert "<code>$x$</code>" in html
    assert "PID is $$" in html


@pytest.mark.parametrize("formula", [r"\frac{1}{\foo}", r"\begin{aligned} a &= b \end{aligned}", r"\left( 1"])
def test_a_formula_that_is_not_understood_is_named(tmp_path, formula):
    with pytest.raises(StudyError, match=r"^03_pairs.ipynb: cell-2: the formula .* is not understood"):
        article(tmp_path, new_markdown_cell(f"Here: ${formula}$"))


def test_headings_of_one_name_have_anchors_of_their_own(tmp_path):
    again = new_markdown_cell("## Try this")
    page = article(tmp_path, new_markdown_cell("## Try *this*\n\n### Bits & more\n\n## Try this"), again)
    anchors = [(1, "pairs"), (2, "try-this"), (3, "bits-more"), (2, "try-this-2"), (2, "try-this-3")]
    assert [(each.level, each.anchor) for each in page.headings] == anchors
    assert all(page.html.count(f'id="{each.anchor}"') == 1 for each in page.headings)


@pytest.mark.parametrize(("kind", "ending"), [("image/png", "png"), ("image/jpeg", "jpg"), ("image/svg+xml", "svg")])
def test_a_picture_stands_in_a_file_with_its_words(tmp_path, kind, ending):
    data = "<svg/>" if ending == "svg" else PIXEL
    page = article(tmp_path, shows({kind: data, "text/plain": "<Image>"}, {kind: {"alt": 'A "tower" & more', "width": 760}}))
    file = f"03_pairs/1-0.{ending}"
    assert f'<img src="{file}" alt="A &quot;tower&quot; &amp; more" width="760">' in page.html
    assert page.files == {file: data.encode() if ending == "svg" else base64.b64decode(PIXEL)}


def test_a_view_is_its_still_and_a_script_of_its_data(tmp_path):
    view = {"data": [{"type": "scatter3d", "name": "</script>"}], "layout": {}}
    page = article(tmp_path, shows({VIEW: view, "image/png": PIXEL}, {"image/png": {"alt": "A tower."}}))
    assert '<figure class="view" data-view="03_pairs/1-0.js">\n<img src="03_pairs/1-0.png" alt="A tower.">' in page.html
    assert "scatter3d" not in page.html
    script = page.files["03_pairs/1-0.js"].decode()
    assert script.startswith('views["03_pairs/1-0.js"] = {"data": [{')


def test_the_default_parameters_are_not_shown_but_changed_ones_are(tmp_path):
    default = new_code_cell("changes = {}", metadata={"tags": ["parameters"]})
    changed = new_code_cell("changes = {'run': 1}", metadata={"tags": ["injected-parameters"]})
    assert re.sub(r"<[^>]*>", "", article(tmp_path, default, changed).html).count("changes") == 1
    with pytest.raises(StudyError, match=r"^03_pairs.ipynb: has no title"):
        article(tmp_path, title="Pairs")


@pytest.fixture
def root(tmp_path, monkeypatch):
    make_study(tmp_path, new_markdown_cell("## A part\n\nSee [the paper](https://arxiv.org/abs/1802.07437)."))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_page_has_the_results_and_leads_to_the_rest(root):
    write_page(root, "00_overview", picture())
    site = build_site(root)
    index = (site / "index.html").read_text()
    assert "<b>1,764</b> photos" in index
    assert re.search(r"BCDH</th>\s*<td[^>]*><b>0\.610</b><small[^>]*>0\.580–0\.630</small>", index)
    assert index.index("assets/bits.png") < index.index("BCDH</th>") < index.index("00_overview/1-0.png")
    assert "What 03_pairs is." in index
    assert {"tables.html", "01_photos.html"} <= set(re.findall(r'href="([^"#]*)"', index))
    assert "real.html" not in index
    counts = {"flat_tyres": 2, "left_out": 0, "pairs": 9, "photos": 4}  # shown in the pipeline's order
    (root / "reports/metrics.json").write_text(json.dumps({"counts": counts, "retrieval": []}))
    index = (build_site(root) / "index.html").read_text()
    assert re.findall(r"<b>(\d+)</b> ([a-z ]+)", index) == [("4", "photos"), ("9", "similar pairs")]


@pytest.mark.parametrize("content", [None, "", "{", "[]", {"counts": {"photos": "four"}}, {"counts": [4]}])
def test_damaged_metrics_are_named_in_one_line(root, content):
    path = root / "reports/metrics.json"
    path.unlink() if content is None else path.write_text(content if isinstance(content, str) else json.dumps(content))
    with refused("dvc repro"):
        build_site(root)


def test_long_tables_are_sortable_and_downloadable(root):
    site = build_site(root)
    page = (site / "tables.html").read_text()
    assert 'table class="sortable"' in page
    assert "<td>a&lt;b</td>" in page
    assert '<td class="number">0.2500</td>' in page
    assert (site / "assets/tables/mean.csv").read_text() == TABLES["mean.csv"]


def test_results_on_real_photos_have_a_page(root):
    write_tables(root, REAL)
    site = build_site(root)
    page = (site / "real.html").read_text()
    assert "Holidays, 300 of 500 queries" in page
    assert "<b>0.610</b>" in page
    assert (site / "assets/real-holidays300-both.png").is_file()
    assert 'href="real.html"' in (site / "index.html").read_text()


def test_without_the_comparison_there_is_no_table(root):
    for path in (root / "reports/study").iterdir():
        path.unlink()
    site = build_site(root)
    assert sorted(path.name for path in site.glob("*.html")) == [*(f"{name}.html" for name in NAMES), "index.html"]
    assert "tables.html" not in (site / "index.html").read_text()


def test_pages_lead_to_each_other_in_order(root):
    site = build_site(root)
    turns = {name: re.findall(r'rel="(prev|next)" href="([^"]*)"', (site / f"{name}.html").read_text()) for name in NAMES}
    assert turns == {
        "01_photos": [("next", "02_reconstruction.html")],
        "02_reconstruction": [("prev", "01_photos.html"), ("next", "03_pairs.html")],
        "03_pairs": [("prev", "02_reconstruction.html")],
    }
    page = (site / "02_reconstruction.html").read_text()
    assert '<a href="02_reconstruction.html" aria-current="page">2 Reconstruction</a>' in page
    assert '<a class="level-2" href="#a-part">A part</a>' in page


def test_two_builds_give_the_same_bytes_and_plotly_lies_in_the_site_if_a_view_needs_it(root):
    assert not (build_site(root) / "assets/plotly.min.js").exists()
    write_page(root, "02_reconstruction", picture(view=True))
    first, second = (contents(build_site(root)) for _ in range(2))
    assert first == second
    assert len(first["assets/plotly.min.js"]) > 1e6
    assert "02_reconstruction/1-0.js" in first


NO_WORDS = "html: cell-2: a picture has no alt text"


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (shows({"text/html": '<img alt="x" src="https://example.org/x.png">'}), "html: <img> fetches https://example.org/x.png"),
        (shows({"text/html": '<script src="//cdn.example.org/x.js"></script>'}), "html: <script> fetches //cdn.example.org"),
        (new_markdown_cell("![x](../docs/x.png)"), "html: ../docs/x.png is not in the site"),
        (shows({"text/html": '<img src="data:,">'}), NO_WORDS),
        (shows({"text/html": '<img alt=" " src="data:,">'}), NO_WORDS),
        (picture(alt=" "), NO_WORDS),
        (picture(view=True, alt=""), NO_WORDS),
        (new_markdown_cell("![](data:image/png;base64,AAAA)"), NO_WORDS),
        (new_markdown_cell(r"$\nonsense$"), r"ipynb: cell-2: the formula \nonsense is not understood"),
    ],
)
def test_a_page_that_is_not_whole_stops_the_build_in_one_line_and_leaves_the_site(root, capsys, cell, fault):
    before = contents(build_site(root))
    write_page(root, "02_reconstruction", cell)
    assert main() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"02_reconstruction.{fault}")
    assert contents(root / "reports/site") == before


def test_every_page_closes_what_it_opens(root):
    write_page(root, "02_reconstruction", picture(view=True))

    class Balance(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in ("img", "br", "hr", "meta", "link", "wbr"):
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    for page in build_site(root).glob("*.html"):
        opened = []
        Balance().feed(page.read_text())
        assert opened == []


CODES = {
    "queries": np.array([[0, 128]], np.uint8),
    "database": np.array([[1, 2], [3, 255]], np.uint8),
    "recentred_database": np.array([[4, 8], [15, 16]], np.uint8),
    "centred_queries": np.arange(16, dtype=np.float32)[None],
}


@pytest.fixture
def made(study, tmp_path, monkeypatch):
    """Two protocols over the photos a and b and the query photo q, which is not in the database; codes of one system."""
    for name in "abq":
        Image.new("RGB", (400, 300), "white").save(tmp_path / f"{name}.jpg")
    photos, outside = {name: tmp_path / f"{name}.jpg" for name in "ab"}, {"q": tmp_path / "q.jpg"}

    def protocol(name, positives, junk):
        query = Query("asked", "q", (100, 30, 300, 300), frozenset(positives), frozenset(junk))
        return Benchmark(f"roxford5k_{name}", photos, [query], outside, "roxford5k")

    monkeypatch.setattr(explorer, "read_benchmarks", lambda _: [protocol("easy", "a", "b"), protocol("hard", "ba", "")])
    monkeypatch.setattr(explorer, "systems", lambda _: [System("dsh", 16), System("float", None)])
    write_system_codes(study, "roxford5k", System("dsh", 16), BenchmarkCodes(**CODES))
    return study


def test_the_explorers_data_by_hand(made):
    """Photos share one collection; real vectors are left out."""
    files = explorer_files(made)
    query = {"name": "asked", "photo": 2, "box": [0.25, 0.1, 0.5, 0.9]}
    text = files["explorer-data.js"].decode()
    assert text.startswith("const explored = ")
    assert json.loads(text.removeprefix("const explored = ").rstrip(";\n")) == {
        "systems": [{"name": "dsh-16", "label": "DSH", "bits": 16}],
        "collections": {
            "roxford5k": {
                "photos": ["a", "b", "q"],
                "database": 2,
                "codes": {"dsh-16": {name: base64.b64encode(rows).decode() for name, rows in CODES.items()}},
            }
        },
        "benchmarks": [
            {"label": "ROxford5k Easy", "collection": "roxford5k", "queries": [{**query, "positives": [0], "junk": [1]}]},
            {"label": "ROxford5k Hard", "collection": "roxford5k", "queries": [{**query, "positives": [0, 1], "junk": []}]},
        ],
    }
    assert sorted(files) == ["explorer-data.js", *(f"explorer/roxford5k/{number}.jpg" for number in range(3))]
    assert Image.open(io.BytesIO(files["explorer/roxford5k/2.jpg"])).size == (200, 150)


def test_thumbnails_shrink_where_there_are_many(made, monkeypatch):
    for as_many, size in ((0.75, (100, 75)), (0.001, (48, 36))):  # 0.75 of 3 photos: half the side
        monkeypatch.setattr(explorer, "AS_MANY", as_many)
        assert Image.open(io.BytesIO(explorer_files(made)["explorer/roxford5k/0.jpg"])).size == size


def test_without_binary_codes_there_is_none_and_missing_ones_are_named(made, tmp_path, monkeypatch):
    assert explorer_files(replace(made, root=tmp_path / "elsewhere")) == {}
    (made.codes / "roxford5k/dsh-16.queries.npy").unlink()
    with pytest.raises(StudyError, match=r"dsh-16\.queries\.npy: cannot be read"):
        explorer_files(made)
    monkeypatch.setattr(explorer, "systems", lambda _: [System("float", None)])
    assert explorer_files(made) == {}
