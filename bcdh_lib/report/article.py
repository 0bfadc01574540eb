"""An executed notebook as an HTML article: headings with anchors, formulas as MathML, pictures in files next to it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert.exporters import TemplateExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from bcdh_lib.core.errors import StudyError
from bcdh_lib.report.execute import read_notebook
from bcdh_lib.report.figures.display import VIEW

SITE = Path(__file__).parent / "templates"
PICTURES = ["image/svg+xml", "image/png", "image/jpeg"]


@dataclass(frozen=True)
class Heading:
    level: int
    anchor: str
    html: str


@dataclass(frozen=True)
class Article:
    """A notebook ready for the page. `files` are its pictures and views, by their path next to the page."""

    name: str
    short: str  # for the navigation, as in "3 Pairs"
    title: str
    summary: str  # HTML, its first paragraph
    html: str
    headings: list[Heading]
    files: dict[str, bytes]


def read_article(path: Path) -> Article:
    """The executed notebook at `path` as an article. Raises StudyError without a title or if a formula cannot be converted."""
    exporter = _Exporter()
    try:
        names = {"unique_key": path.stem, "output_files_dir": path.stem}
        html, resources = exporter.from_notebook_node(read_notebook(path), names)
        title = next(heading.html for heading in exporter.headings if heading.level == 1)
    except StudyError as error:
        raise StudyError(f"{path.name}: {error}") from None
    except StopIteration:
        raise StudyError(f"{path.name}: has no title; begin its first cell with: # Title") from None
    summary = re.search(r"<p>(.*?)</p>", html, re.DOTALL)
    files = {_view_file(name): _view_script(name, data) for name, data in resources["outputs"].items()}
    number, _, noun = path.stem.partition("_")
    short = f"{number.lstrip('0')} {noun.capitalize()}"
    return Article(path.stem, short, title, summary[1] if summary else "", html, exporter.headings, files)


class _Exporter(TemplateExporter):
    """nbconvert with the study's template and markdown."""

    file_extension = ".html"

    def __init__(self) -> None:
        names = {"output_filename_template": "{cell_index}-{index}{extension}", "extract_output_types": {VIEW, *PICTURES}}
        settings = {
            "NbConvertBase": {"display_data_priority": [VIEW, "text/html", "text/markdown", *PICTURES, "text/plain"]},
            "ExtractOutputPreprocessor": {"enabled": True, **names},
        }
        super().__init__(config=Config(settings), template_name="article", extra_template_basedirs=[str(SITE)])
        self.headings: list[Heading] = []

    def default_filters(self) -> Iterator[tuple[str, Any]]:
        yield from super().default_filters()
        yield "markdown2html", self._markdown
        yield "view_file", _view_file
        yield "table_html", _table

    @pass_context
    def _markdown(self, context: Any, source: str) -> str:
        cell = context.get("cell", {})
        renderer = _Renderer(escape=False, attachments=cell.get("attachments", {}))
        try:
            html = MarkdownWithMath(renderer=renderer).render(source)
        except StudyError as error:
            raise StudyError(f"{cell.get('id', 'a cell')}: {error}") from None
        return self._anchored(html)

    def _anchored(self, html: str) -> str:
        """Give each heading a unique anchor, and collect the headings for the table of contents."""

        def anchored(match: re.Match[str]) -> str:
            level, inner = int(match[1]), match[2]
            words = re.sub(r"[^\w]+", "-", unescape(re.sub(r"<[^>]*>", "", inner)).lower()).strip("-") or "part"
            same = sum(re.fullmatch(rf"{re.escape(words)}(-\d+)?", heading.anchor) is not None for heading in self.headings)
            anchor = f"{words}-{same + 1}" if same else words
            self.headings.append(Heading(level, anchor, inner))
            link = f'<a class="anchor" href="#{anchor}" aria-label="Link to this part">#</a>'
            return f'<h{level} id="{anchor}">{inner}{link}</h{level}>'

        return re.sub(r"<h([1-6])>(.*?)</h\1>", anchored, html, flags=re.DOTALL)


class _Renderer(IPythonRenderer):
    """Markdown whose formulas become MathML."""

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        return f"<h{level}>{text}</h{level}>\n"

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return f'<span class="scroll formula">{_mathml(body, "block")}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")


def _table(html: str) -> str:
    """A table of pandas with plain cells instead of empty headings, and names that may break after an underscore."""
    cells = re.sub(r"<th></th>", "<td></td>", html)
    return re.sub(r"(?<=>)[^<>]+(?=</t[hd]>)", lambda name: name[0].replace("_", "_<wbr>"), cells)


def _mathml(formula: str, display: str) -> str:
    """The formula in MathML. Raises StudyError if latex2mathml fails or leaves a command unconverted."""
    shown = f"the formula {' '.join(formula.split())} is not understood"
    try:
        mathml = str(convert(formula, display=display))
    except Exception as error:  # latex2mathml raises many kinds, none with a common parent
        raise StudyError(f"{shown} ({type(error).__name__})") from None
    left_over = re.search(r">(\\[A-Za-z]+|&)<", mathml)
    if left_over:
        raise StudyError(f"{shown}: {left_over[1]} is unknown; write the formula without it")
    # The bars of norms and sets: MathML would stretch and space them as binary operators.
    return re.sub(r"<mo[^>]*>(&#x02016;|&#x0007C;)</mo>", r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>', mathml)


# A 3D view's data becomes a script next to the page: pages opened from the file system may load scripts, but not JSON.


def _view_file(name: str) -> str:
    return re.sub(r"\.vnd\.plotly\.v1\+json$", ".js", name)


def _view_script(name: str, data: bytes) -> bytes:
    file = _view_file(name)
    return data if file == name else f'views["{escape(file)}"] = '.encode() + data + b";\n"
