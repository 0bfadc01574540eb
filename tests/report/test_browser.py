"""The site in a real browser, from the file system, with the network cut and every attempt to use it recorded."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from dvc_render import VegaRenderer, render_html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from plotly.offline import get_plotlyjs

from bcdh_lib.core.codes import asymmetric_distances, hamming
from bcdh_lib.core.tables import read_table
from bcdh_lib.report.picture import find_browser
from bcdh_lib.report.site import build_site
from bcdh_lib.retrieval.benchmarks import read_benchmark
from bcdh_lib.retrieval.codes import read_codes
from bcdh_lib.retrieval.systems import systems
from tests.report.made_study import REAL, TABLES, make_study, picture, write_tables

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install axe-playwright-python")
CHROMIUM = find_browser()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed: apt-get install chromium")
ROOT = Path(__file__).parents[2]
PLOTS = ROOT / ".dvc/plots"
RULES = {"resultTypes": ["violations"], "preload": False}  # what it would preload, it asks a server for
WIDE = "a line of output much wider than the screen of any phone " * 4


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    row = "".join(f"<td>{column:.6f}</td>" for column in range(20))
    table = f'<table class="dataframe"><thead><tr><th></th><th>p_at_1</th></tr></thead><tr>{row}</tr></table>'
    outputs = [new_output("stream", name="stdout", text=WIDE), new_output("display_data", {"text/html": table})]
    formula = "$$" + " + ".join(f"\\frac{{\\lambda}}{{{term}}} \\lVert u_{{{term}}} \\rVert^2" for term in range(1, 30)) + "$$"
    columns = f"| {'| '.join('abcdefgh')} |\n{'|---' * 8}|\n{'| unbreakable_name ' * 8}|"
    prose = new_markdown_cell(f"## A part\n\nWith $\\lambda$ and\n\n{formula}\n\n{columns}\n\n```\n{WIDE}\n```")
    make_study(root, prose, new_code_cell(f"# {WIDE}", outputs=outputs), picture(view=True))
    write_tables(root, TABLES | REAL)
    return build_site(root).as_uri()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser):
    """A phone-sized page; what it asks of the network and every error fail the test that used it."""
    trouble = []
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="light")
    context.route(re.compile(r"^(https?|wss?):"), lambda route: (trouble.append(route.request.url), route.abort()))
    context.set_default_timeout(300_000)  # ms, for a busy machine
    page = context.new_page()
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: message.type == "error" and trouble.append(message.text))
    page.on("requestfailed", lambda request: trouble.append(request.url))
    yield page
    context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def explorer(scored_study):
    return f"{build_site(scored_study.root).as_uri()}/explorer.html"


@pytest.fixture(params=["index", "02_reconstruction", "tables", "real", "explorer"])
def address(request, site, explorer):
    """A page of each kind."""
    return explorer if request.param == "explorer" else f"{site}/{request.param}.html"


def open_whole(tab, address):
    """Go to the page, unfold what is folded, and wait for its pictures."""
    tab.goto(address)
    tab.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    tab.wait_for_function("[...document.images].every(image => image.complete)")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(tab, address):
    open_whole(tab, address)
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    pictures = tab.evaluate("[...document.images].map(image => [image.naturalWidth, image.alt])")
    assert pictures or "tables" in address
    assert all(width > 0 and alt for width, alt in pictures)
    assert "$" not in tab.inner_text("body")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(tab, address, scheme):
    """Contrast, names, roles, order of headings: every rule of axe-core, on a screen wide enough to show all of a page."""
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.emulate_media(color_scheme=scheme)
    open_whole(tab, address)
    found = axe.Axe().run(tab, options=RULES).response
    assert "color-contrast" in {rule["id"] for rule in found["passes"]}
    assert [(rule["id"], node["html"]) for rule in found["violations"] for node in rule["nodes"]] == []


def test_print_is_light_and_whole(tab, address):
    """On A4 less its margins, 180 mm; from a dark screen. A formula does not break, and a long one is cut."""
    tab.set_viewport_size({"width": 680, "height": 960})
    tab.emulate_media(media="print", color_scheme="dark")
    open_whole(tab, address)
    paper, ink = tab.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    assert min(map(int, re.findall(r"\d+", paper))) > 240 > 60 > max(map(int, re.findall(r"\d+", ink)))
    assert not tab.locator("header").is_visible()
    cut = """[...document.querySelectorAll('main pre, main p:not(:has(.formula)), main img')].filter(part =>
        part.checkVisibility() &&
        (part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0 || part.getBoundingClientRect().right > 681))
        .map(part => part.outerHTML.slice(0, 80))"""
    assert tab.evaluate(cut) == []


def test_the_theme_follows_the_system_until_chosen_and_is_remembered(tab, site):
    paper = "getComputedStyle(document.body).backgroundColor"
    tab.goto(f"{site}/index.html")
    light = tab.evaluate(paper)
    tab.emulate_media(color_scheme="dark")
    dark = tab.evaluate(paper)
    assert dark != light
    tab.click("#theme")
    assert tab.evaluate(paper) == light
    tab.click("header nav a >> nth=1")
    tab.wait_for_url(f"{site}/02_reconstruction.html")
    assert tab.evaluate(paper) == light
    assert tab.inner_text("#theme") == "Dark"


def test_a_view_turns_when_asked_and_is_its_still_in_print(tab, site):
    tab.goto(f"{site}/02_reconstruction.html")
    picture = tab.locator("figure.view img")
    assert picture.is_visible()
    tab.click("figure.view button")
    tab.wait_for_selector("figure.turning canvas")
    assert not picture.is_visible()
    tab.emulate_media(media="print")
    assert picture.is_visible()
    assert not tab.locator("figure.view .scene").is_visible()


def test_without_webgl_or_scripts_the_still_stands(browser, site):
    without_scripts = browser.new_context(java_script_enabled=False).new_page()
    without_webgl = browser.new_context().new_page()
    without_webgl.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    for page in (without_scripts, without_webgl):
        page.goto(f"{site}/02_reconstruction.html")
        assert page.locator("figure.view img").is_visible()
        assert not page.locator("figure.view button").is_visible()
        page.context.close()


def test_plots_of_dvc_need_no_network(tab, tmp_path):
    """`dvc plots` with the study's templates: one panel per run, one line per revision, drawn by the site's plotly."""
    lines = product(("main", "workspace"), ("float", "dsh-64"), "012")
    rows = [{"round": number, "validation_map": f"0.{number}1", "run": run, "rev": rev} for rev, run, number in lines]
    plot = VegaRenderer(rows, "history", template="training", template_dir=PLOTS, x="round", y="validation_map")
    (tmp_path / "reports/site/assets").mkdir(parents=True)
    (tmp_path / "dvc_plots").mkdir()
    (tmp_path / "reports/site/assets/plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    page = render_html([plot], tmp_path / "dvc_plots/index.html", html_template=PLOTS / "page.html")
    tab.goto(Path(page).as_uri())
    tab.wait_for_selector(".scatterlayer .trace")
    assert tab.locator(".scatterlayer .trace").count() == 4
    assert tab.locator(".annotation-text").all_text_contents() == ["float", "dsh-64"]


STOPS = """[...document.querySelectorAll('a[href], button, select, input, summary, .scroll[tabindex="0"]')]
    .filter(stop => stop.checkVisibility() && !stop.disabled)
    .map((stop, number) => { stop.dataset.stop = number; return stop.outerHTML.slice(0, 80); })"""
FOCUSED = """(() => { const stop = document.activeElement, style = getComputedStyle(stop);
    return [Number(stop.dataset.stop ?? -1), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0]; })()"""


def test_the_keyboard_reaches_everything(tab, address):
    """Tab alone stops at every link, button, choice and box that scrolls, and each shows that it has the focus."""
    open_whole(tab, address)
    stops, reached = tab.evaluate(STOPS), set()
    assert len(stops) > 5
    for _ in range(2 * len(stops)):
        tab.keyboard.press("Tab")
        number, seen = tab.evaluate(FOCUSED)
        assert seen or number < 0, stops[number]
        reached.add(number)
        if len(reached - {-1}) == len(stops):
            break
    assert [stop for number, stop in enumerate(stops) if number not in reached] == []


RANKINGS = """([name, scoring]) => explored.benchmarks[0].queries.map((_, query) => {
    const system = explored.systems.find(system => system.name === name);
    const { photos, ap } = rankingOf(explored.benchmarks[0], query, system, scoring);
    return [photos.map(({ photo, distance, mark }) => [photo, distance, mark]), ap];
})"""


@pytest.mark.parametrize("scoring", ["hamming", "asymmetric"])
def test_the_explorer_ranks_and_scores_as_the_study_does(tab, explorer, scored_study, scoring):
    tab.goto(explorer)
    benchmark, scored = read_benchmark(scored_study, "rendered_oxford"), read_table(scored_study.reports, "queries")
    scored = scored[scored["scoring"] == scoring]
    for system in [system for system in systems(scored_study) if system.bits]:
        found = tab.evaluate(RANKINGS, [system.name, scoring])
        rows = scored[(scored["method"] == system.method) & (scored["bits"] == system.bits)].set_index("query")
        expected = rows.loc[[query.name for query in benchmark.queries], "ap"]
        np.testing.assert_allclose([ap for _, ap in found], expected, rtol=0, atol=1e-9)
        codes = read_codes(scored_study, benchmark, system)
        if scoring == "hamming":
            apart = hamming(codes.queries, codes.database)
        else:
            apart = asymmetric_distances(codes.centred_queries, codes.recentred_database)
        names = list(benchmark.photos)
        for query, row, (photos, _) in zip(benchmark.queries, apart, found, strict=True):
            order = np.argsort(row, kind="stable")
            marks = ["junk" if names[i] in query.junk else "hit" if names[i] in query.positives else "miss" for i in order]
            assert photos == [[photo, distance, mark] for photo, distance, mark in zip(order, row[order], marks, strict=True)]


def shown(tab):
    items = tab.locator("#ranking li").evaluate_all("items => items.map(item => [item.dataset.photo, item.className])")
    return [tuple(item) for item in items]


def test_the_explorer_shows_what_it_ranks(tab, explorer):
    """The first 24 that are scored, junk included in its place; a query without positives has no score."""
    tab.goto(explorer)
    tab.select_option("[name=bits]", "16")
    [photos, ap] = tab.evaluate(RANKINGS, ["binary_constrained-16", "hamming"])[0]
    scored = [place for place, (_, _, mark) in enumerate(photos) if mark != "junk"]
    assert shown(tab) == [(str(photo), mark) for photo, _, mark in photos[: scored[23] + 1]]
    assert {"hit", "miss", "junk"} == {mark for _, mark in shown(tab)}
    colours = "items => new Set(items.map(item => item.className + getComputedStyle(item.querySelector('img')).borderColor)).size"
    assert tab.locator("#ranking li").evaluate_all(colours) == 3
    assert float(tab.get_attribute("#ranking data", "value")) == ap
    assert tab.inner_text("#ranking h2") == "BCDH, 16 bits"
    tab.select_option("[name=query]", "2")
    assert "no photo answers this query" in tab.inner_text("#ranking p")
    assert tab.locator("#ranking data").count() == 0


def test_the_codes_of_query_and_photo_are_compared(tab, explorer, scored_study):
    """First the photo ranked first, then the one that is chosen: as many marks as bits that differ, and the choice is marked."""
    tab.goto(explorer)
    tab.select_option("[name=bits]", "16")
    [photos, _] = tab.evaluate(RANKINGS, ["binary_constrained-16", "hamming"])[0]
    for place in (0, 5):
        tab.click(f"#ranking li >> nth={place}")
        assert f"{photos[place][1]} of 16 bits" in tab.inner_text("#codes h2")
        assert tab.locator("#codes rect").count() == 2 * 16 + photos[place][1]
        assert tab.locator("[aria-pressed=true]").count() == 1

    tab.select_option("[name=scoring]", "asymmetric")
    tab.select_option("[name=other-method]", "ITQ")
    assert tab.locator("#other-ranking li").count() >= 24
    assert "asymmetric" in tab.inner_text("#ranking h2")
    assert "bit" in tab.inner_text("#other-ranking .distance >> nth=0")
    assert "bit" not in tab.inner_text("#ranking .distance >> nth=0")


def test_the_keyboard_changes_the_explorers_query(tab, explorer):
    tab.goto(explorer)
    before = shown(tab)
    tab.focus("[name=benchmark]")
    tab.keyboard.press("Tab")
    tab.keyboard.press("ArrowDown")
    assert tab.inner_text("#asked p").startswith("hall_1:")
    assert shown(tab) != before
    tab.keyboard.press("Tab")
    for name in ("hall_0", "hall_5"):
        tab.keyboard.press("Enter")
        assert tab.inner_text("#asked p").startswith(f"{name}:")
