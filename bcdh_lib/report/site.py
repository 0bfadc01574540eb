"""The study as a site that needs no network: `python -m bcdh_lib.report.site` turns reports/executed/ into reports/site/.

index.html has the pipeline as a picture of this run, the results as curves and a small table, and a card for each notebook;
tables.html has the full tables of the comparison, sortable and as CSV; real.html the results on real photos, if there are any;
explorer.html ranks the benchmarks' photos by their codes. The site opens from the file system and is the same bytes for the same
study.
"""

import re
import shutil
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from bcdh_lib.comparison.tables import ABOUT, STUDIES, read_tables
from bcdh_lib.core.errors import StudyError, exit_code, one_line
from bcdh_lib.core.files import read_json
from bcdh_lib.report.article import SITE, read_article
from bcdh_lib.report.explorer import explorer_files
from bcdh_lib.report.figures.curves import curves
from bcdh_lib.report.figures.display import Picture, saved
from bcdh_lib.report.figures.overview import pipeline
from bcdh_lib.report.figures.style import benchmark_label
from bcdh_lib.report.headline import REAL, headline_rows, small_table, verdicts, with_roles
from bcdh_lib.retrieval.systems import BCDH, systems
from bcdh_lib.study import Study, find_root, open_study

TITLE = "Binary codes without labels"
COUNTS = {"photos": "photos", "models": "3D models", "registered": "photos in a model", "pairs": "similar pairs"}
TRAINED_ON = {"rendered": "Trained on rendered photos", "real": "Trained on real photos", "both": "Trained on both"}


def build_site(root: Path) -> Path:
    """Write the site of the study at `root` atomically, and return its folder. Raises StudyError."""
    notebooks = sorted((root / "reports/executed").glob("*.ipynb"))
    if not notebooks:
        raise StudyError(f"{root / 'reports/executed'}: has no executed notebook; make them with: dvc repro")
    articles = [read_article(path) for path in notebooks]
    study, studies = open_study(root=root), {prefix: read_tables(root, prefix) for prefix in STUDIES}
    compared, tables = studies[""], _long_tables(root, studies)
    explored = explorer_files(study)
    files = {name: data for article in articles for name, data in article.files.items()}
    files |= {f"assets/tables/{name}.csv": table.to_csv(index=False).encode() for name, (_, table) in tables.items()}
    files |= {f"assets/{name}": data for name, data in explored.items()}
    if any('class="view"' in article.html for article in articles):
        files["assets/plotly.min.js"] = get_plotlyjs().encode()

    def drawn(name: str, picture: Picture) -> dict[str, str]:
        """Put a picture into the site; its file and its words."""
        file = f"assets/{name}.{picture.form}"
        files[file] = saved(picture.figure, picture.form)
        return {"file": file, "alt": picture.alt}

    around = zip(articles, [None, *articles], [*articles[1:], None], strict=False)
    pages: dict[str, tuple[str, dict[str, Any]]] = {
        each.name: ("page", {"article": each, "previous": before, "next": after}) for each, before, after in around
    }
    first = {
        "pipeline": drawn("pipeline", picture) if (picture := _pipeline(study, explored)) else None,
        "curves": [drawn(name, picture) for name, picture in _headline_curves(compared).items()],
        "headline": small_table(headline_rows(compared)) if "headline" in compared else None,
        "verdicts": verdicts(compared),
        "covers": {article.name: re.search(r'<img src="[^"]*" alt="[^"]*"', article.html) for article in articles},
        "counts": _counts(root / "reports/metrics.json"),
    }
    pages["index"] = "index", first
    pages |= {"tables": ("tables", {})} if tables else {}
    scored = {prefix: tables["benchmarks"] for prefix, tables in studies.items() if prefix and "benchmarks" in tables}
    real = [part for prefix, table in scored.items() for part in _real_parts(prefix, table, drawn)]
    pages |= {"real": ("real", {"parts": real})} if real else {}
    pages |= {"explorer": ("explorer", {})} if explored else {}
    templates = Environment(loader=FileSystemLoader(SITE), undefined=StrictUndefined, autoescape=False)
    templates.globals |= {"site_title": TITLE, "articles": articles, "pages": pages, "tables": tables}
    for name, (template, values) in pages.items():
        files[f"{name}.html"] = templates.get_template(f"{template}.html.j2").render(here=name, **values).encode()
    draft, site = root / "work/site", root / "reports/site"
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(SITE / "assets", draft / "assets", ignore=None if explored else shutil.ignore_patterns("explorer.js"))
    for name, data in files.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_bytes(data)
    for path in sorted(draft.glob("*.html")):
        _check(path)
    shutil.rmtree(site, ignore_errors=True)
    shutil.move(draft, site)
    return site


def _long_tables(root: Path, studies: dict[str, dict[str, Any]]) -> dict[str, tuple[str, pd.DataFrame]]:
    """The tables that the site shows in full, each with its title, those that exist: this run's mAP, then the comparisons'."""
    run = root / "reports/map.csv"
    found = {"run": ("This run: mAP of every method on every benchmark", pd.read_csv(run))} if run.is_file() else {}
    for prefix, tables in studies.items():
        titles = {name: f"{STUDIES[prefix]}: {ABOUT[f'{name}.csv']}" for name in tables if f"{name}.csv" in ABOUT}
        found |= {prefix + name: (title, tables[name]) for name, title in titles.items()}
    return {
        name: (title, table.convert_dtypes().astype(object).where(table.notna(), None)) for name, (title, table) in found.items()
    }


def _pipeline(study: Study, explored: dict[str, bytes]) -> Picture | None:
    """The pipeline as a picture, with the codes whose length is nearest to 64; None before the study has models and codes."""
    if not explored or not (study.reconstruction / "registrations.parquet").is_file():
        return None
    lengths = [system.bits for system in systems(study) if system.method == BCDH and system.bits]
    return pipeline(study, min(lengths, key=lambda bits: abs(bits - 64))) if lengths else None


def _counts(path: Path) -> list[tuple[str, int]]:
    """The counts of metrics.json that are not 0, with their words, in the pipeline's order. Raises StudyError."""
    try:
        counts = dict(read_json(path)["counts"])
        return [(words, int(counts[key])) for key, words in COUNTS.items() if int(counts.get(key, 0))]
    except (KeyError, TypeError, ValueError) as error:
        raise StudyError(f"{path}: cannot be read ({one_line(error)}); make it with: dvc repro") from None


def _real_parts(prefix: str, table: pd.DataFrame, drawn: Callable[[str, Picture], dict[str, str]]) -> list[dict[str, Any]]:
    """For each benchmark of real photos and each collection to learn from: the curve of recentred codes and the small table."""
    parts = []
    for (benchmark, trained_on), rows in table.groupby(["benchmark", "trained_on"], sort=False):
        title = TRAINED_ON.get(str(trained_on), str(trained_on)) + STUDIES[prefix].removeprefix(STUDIES["real_"])
        curve = curves(rows[rows["scoring"].isin(["recentred", "cosine"])], "bits", title)
        small = small_table(with_roles(rows), ("recentred", "asymmetric", "cosine"))
        title = REAL.get(str(benchmark), benchmark_label(str(benchmark)))
        file = f"{prefix.replace('_', '-')}{benchmark}-{trained_on}"
        parts.append({"title": title, "curve": drawn(file, curve), "table": small})
    return parts


def _headline_curves(compared: dict[str, Any]) -> dict[str, Picture]:
    """mAP by Hamming distance, mean over the benchmarks: against the number of 3D models at the longest code, and by length."""
    tables = {name: compared[name] for name in ("models", "mean") if len(compared.get(name, ()))}
    tables = {name: table[table["scoring"].isin(["hamming", "cosine"])] for name, table in tables.items()}
    found = {}
    if "models" in tables:
        models, longest = tables["models"], tables["models"]["bits"].max()
        longest_codes = models[models["bits"].isna() | (models["bits"] == longest)]
        found["models"] = curves(longest_codes, "models", f"More 3D models, {longest} bits")
    return found | ({"bits": curves(tables["mean"], "bits", "Longer codes")} if "mean" in tables else {})


def _check(page: Path) -> None:
    """Raise StudyError if the page fetches from the network, refers to a missing file, or has a picture without words."""

    class Checker(HTMLParser):
        part = "the page"

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            named = {name: value or "" for name, value in attributes}
            self.part = named.get("id") or self.part if tag == "section" else self.part
            if tag == "img" and not named.get("alt", "").strip():
                raise StudyError(f"{page.name}: {self.part}: a picture has no alt text; return a Picture(figure, alt)")
            for address in (named.get(name, "") for name in ("src", "srcset", "href", "data-view", "poster")):
                elsewhere, file = re.match(r"([a-z]+:)?//|mailto:|data:", address), address.partition("#")[0]
                if elsewhere and tag != "a" and elsewhere[0] != "data:":
                    raise StudyError(f"{page.name}: <{tag}> fetches {address}; the site must need no network")
                if file and not elsewhere and not (page.parent / file).is_file():
                    raise StudyError(f"{page.name}: {address} is not in the site; return pictures from a plot function")

    Checker().feed(page.read_text(encoding="utf-8"))


def main() -> int:
    """The command line; returns the exit code."""

    def build() -> None:
        site = build_site(find_root())
        size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
        print(f"{site / 'index.html'} ({size / 1e6:.1f} MB)")

    return exit_code(build, "stopped; the site that was there before is unchanged")


if __name__ == "__main__":
    sys.exit(main())
