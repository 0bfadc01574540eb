"""A notebook as an article: its formulas, headings, pictures and views."""

import base64
import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.article import read_article
from tests.report.made_study import write_notebook

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
    cells = [
        new_code_cell("changes = {}", metadata={"tags": ["parameters"]}),
        new_code_cell("changes = {'run': 1}", metadata={"tags": ["injected-parameters"]}),
    ]
    assert re.sub(r"<[^>]*>", "", article(tmp_path, *cells).html).count("changes") == 1
    with pytest.raises(StudyError, match=r"^03_pairs.ipynb: has no title"):
        article(tmp_path, title="Pairs")
