"""The study as a site that needs no network: `python -m bcdh_lib.report.site` turns reports/executed/ into reports/site/.

index.html has the pipeline as a picture of this run, the results in a figure and a small table, and a card for each notebook;
tables.html has the full tables of the comparison, sortable and as CSV; explorer.html ranks the benchmarks' photos by their codes.
The site opens from the file system and is the same bytes for the same study.
"""

from __future__ import annotations

import re
import shutil
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import YamlLexer

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.article import SITE, Article, read_article
from bcdh_lib.report.explorer import explorer_files
from bcdh_lib.report.headline import LONG_TABLES, headline, read_counts, read_csv, verdicts
from bcdh_lib.study import find_root, open_study

TITLE = "Binary codes without labels"


def build_site(root: Path) -> Path:
    """Write the site of the study at `root` atomically, and return its folder. Raises StudyError."""
    notebooks = sorted((root / "reports/executed").glob("*.ipynb"))
    if not notebooks:
        raise StudyError(f"{root / 'reports/executed'}: has no executed notebook; make them with: dvc repro")
    articles = [read_article(path) for path in notebooks]
    tables = long_tables(root)
    explored = explorer_files(open_study(root=root))
    draft, site = root / "work/site", root / "reports/site"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(SITE / "assets", draft / "assets")
    files = {f"assets/{name}": data for name, data in explored.items()}
    files |= {name: data for article in articles for name, data in article.files.items()}
    if any('class="view"' in article.html for article in articles):
        files["assets/plotly.min.js"] = get_plotlyjs().encode()
    templates = _templates(articles=articles, explorer=bool(explored), tables=tables)
    around = zip(articles, [None, *articles], [*articles[1:], None], strict=False)
    pages: dict[str, tuple[str, dict[str, Any]]] = {
        f"{each.name}.html": ("page", {"article": each, "previous": before, "next": after}) for each, before, after in around
    }
    pages["index.html"] = ("index", _index(root, articles))
    if tables:
        pages["tables.html"] = ("tables", {})
        files |= {f"assets/tables/{name}.csv": table.to_csv(index=False).encode() for name, table in tables.items()}
    if explored:
        pages["explorer.html"] = ("explorer", {})
    else:
        (draft / "assets/explorer.js").unlink()
    for name, (template, values) in pages.items():
        page = templates.get_template(f"{template}.html.j2").render(here=name.removesuffix(".html"), **values)
        files[name] = page.encode()
    for name, data in files.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_bytes(data)
    for path in sorted(draft.glob("*.html")):
        _check_references(path)
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(draft, site)
    return site


def long_tables(root: Path) -> dict[str, pd.DataFrame]:
    """The tables that the site shows in full, those that exist: this run's mAP, then the comparison's."""
    paths = {"run": root / "reports/map.csv"} | {name: root / f"reports/study/{name}.csv" for name in LONG_TABLES}
    found = {name: read_csv(path) for name, path in paths.items()}
    return {name: table.convert_dtypes().round(4) for name, table in found.items() if table is not None}


def _index(root: Path, articles: list[Article]) -> dict[str, object]:
    """What the first page shows: the first pictures of the overview and of the comparison, the small table, the counts."""
    table, differences = (read_csv(root / f"reports/study/{name}.csv") for name in ("headline", "differences"))
    covers = {article.name: _cover(article) for article in articles}
    return {
        "covers": covers,
        "pipeline": covers.get("00_overview"),
        "results": None if table is None else covers.get("06_comparison"),
        "headline": None if table is None else headline(table),
        "verdicts": verdicts(differences),
        "settings": highlight((root / "params.yaml").read_text(encoding="utf-8"), YamlLexer(), HtmlFormatter()),
        "counts": read_counts(root / "reports/metrics.json"),
    }


def _templates(**common: object) -> Environment:
    """The site's templates, with what every page needs."""
    templates = Environment(loader=FileSystemLoader(SITE), undefined=StrictUndefined, autoescape=False)
    templates.globals |= {"site_title": TITLE, "table_titles": {"run": "This run", **LONG_TABLES}, **common}
    return templates


def _cover(article: Article) -> dict[str, str] | None:
    """The article's first picture."""
    first = re.search(r'<img src="([^"]*)" alt="([^"]*)"', article.html)
    return {"file": first[1], "alt": first[2]} if first else None


def _check_references(page: Path) -> None:
    """Raise StudyError if the page fetches something from the network, or refers to a file that the site does not have."""

    class References(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            for name, value in attributes:
                if name in ("src", "srcset", "href", "data-view", "poster") and value:
                    self.check(tag, unescape(value))

        def check(self, tag: str, address: str) -> None:
            elsewhere = re.match(r"([a-z]+:)?//|mailto:", address)
            if elsewhere and tag != "a":
                raise StudyError(f"{page.name}: <{tag}> fetches {address}; the site must need no network")
            file = address.partition("#")[0]
            if file and not elsewhere and not file.startswith("data:") and not (page.parent / file).is_file():
                raise StudyError(f"{page.name}: {address} is not in the site; return pictures from a plot function")

    References().feed(page.read_text(encoding="utf-8"))


def main() -> int:
    """The command line; returns the exit code."""
    try:
        site = build_site(find_root())
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
    print(f"{site / 'index.html'} ({size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
