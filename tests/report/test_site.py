"""The site: complete, offline, the same bytes each time, and not written at all if something is missing."""

import json
import re
from html.parser import HTMLParser

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from bcdh_lib.report.site import build_site, main
from tests.helpers import contents, refused
from tests.report.made_study import NAMES, REAL, TABLES, make_study, picture, write_page, write_tables


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


def output(html):
    return new_code_cell("show()", outputs=[new_output("display_data", {"text/html": html})])


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        (output('<img alt="x" src="https://example.org/x.png">'), "html: <img> fetches https://example.org/x.png"),
        (output('<script src="//cdn.example.org/x.js"></script>'), "html: <script> fetches //cdn.example.org"),
        (new_markdown_cell("![x](../docs/x.png)"), "html: ../docs/x.png is not in the site"),
        (output('<img src="data:,">'), NO_WORDS),
        (output('<img alt=" " src="data:,">'), NO_WORDS),
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
