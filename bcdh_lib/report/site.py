"""The study as one site that needs no network: `python -m bcdh_lib.report.site` turns reports/executed/ into reports/site/.

index.html holds this run's table (from reports/metrics.json), the comparison over seeds (reports/study) and the settings; each
notebook has a page; where the study has binary codes, explorer.html ranks the benchmarks' photos by them. The site opens from the
file system, asks no other host for anything, and is the same bytes for the same study.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import YamlLexer

from bcdh_lib.core.errors import StudyError
from bcdh_lib.params import load_params
from bcdh_lib.report.article import SITE, Article, read_article
from bcdh_lib.report.explorer import explorer_files
from bcdh_lib.report.headline import Metrics, headline, in_words, read_mean, read_metrics, study_headline
from bcdh_lib.study import Study, find_root

TITLE = "Binary codes without labels"


def build_site(root: Path) -> Path:
    """Write the site of the study at `root`, whole or not at all, and return its folder.

    Raises StudyError.
    """
    notebooks = sorted((root / "reports/executed").glob("*.ipynb"))
    if not notebooks:
        raise StudyError(f"{root / 'reports/executed'}: no executed notebook is there; make them with: dvc repro")
    articles = [read_article(path) for path in notebooks]
    metrics = read_metrics(root / "reports/metrics.json")
    explored = explorer_files(Study(root, load_params(root / "params.yaml")))
    draft, site = root / "work/site", root / "reports/site"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(SITE / "assets", draft / "assets")
    for name, data in explored.items():
        _write(draft / "assets" / name, data)
    if any('class="view"' in article.html for article in articles):
        (draft / "assets/plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
    templates = _templates(articles=articles, explorer=bool(explored))
    pages = _pages(templates, articles)
    pages["index.html"] = _index(templates, articles, root, metrics)
    if explored:
        pages["explorer.html"] = templates.get_template("explorer.html.j2").render(here="explorer")
    else:
        (draft / "assets/explorer.js").unlink()
    for name, content in pages.items():
        _write(draft / name, content.encode())
    for article in articles:
        for name, data in article.files.items():
            _write(draft / name, data)
    for page in sorted(draft.glob("*.html")):
        _require_whole(page)
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(draft, site)
    return site


def _pages(templates: Environment, articles: list[Article]) -> dict[str, str]:
    template = templates.get_template("page.html.j2")
    around = zip(articles, [None, *articles], [*articles[1:], None], strict=False)
    return {
        f"{article.name}.html": template.render(here=article.name, article=article, previous=previous, next=following)
        for article, previous, following in around
    }


def _index(templates: Environment, articles: list[Article], root: Path, metrics: Metrics) -> str:
    settings, mean = (root / "params.yaml").read_text(encoding="utf-8"), read_mean(root)
    return templates.get_template("index.html.j2").render(
        here="index",
        covers={article.name: _cover(article) for article in articles},
        settings=highlight(settings, YamlLexer(), HtmlFormatter()),
        counts=metrics.labelled_counts,
        headline=headline(metrics),
        study=None if mean is None else study_headline(mean),
        study_in_words="" if mean is None else in_words(mean).replace("**", ""),
    )


def _templates(**common: object) -> Environment:
    """The site's templates, with what every page shows."""
    templates = Environment(loader=FileSystemLoader(SITE), undefined=StrictUndefined, autoescape=False)
    templates.globals |= {"site_title": TITLE, **common}
    return templates


def _cover(article: Article) -> dict[str, str] | None:
    """The article's first picture."""
    first = re.search(r'<img src="([^"]*)" alt="([^"]*)"', article.html)
    return {"file": first[1], "alt": first[2]} if first else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _require_whole(page: Path) -> None:
    """Raise StudyError where the page fetches something from elsewhere or names a file of the site that is not there."""

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
                raise StudyError(f"{page.name}: {address} is not in the site; show pictures with figures.show")

    References().feed(page.read_text(encoding="utf-8"))


def _megabytes(files: Iterable[Path]) -> float:
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def main() -> int:
    """The command line. Returns the exit code: 0 where the site was written, 1 where not."""
    try:
        site = build_site(find_root())
    except StudyError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{site / 'index.html'} ({_megabytes(site.rglob('*')):.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
