"""The picture of the site in README.md: `python -m bcdh_lib.report.picture` writes docs/site.jpg (needs a browser, and [dev])."""

import shutil
import sys
from pathlib import Path
from typing import Any

from bcdh_lib.core.errors import StudyError, exit_code
from bcdh_lib.study import find_root


def find_browser() -> str | None:
    """The path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def take_picture(root: Path) -> Path:
    """The top of the site's first page, down to the end of its curves, as docs/site.jpg. Raises StudyError."""
    page, browser = root / "reports/site/index.html", find_browser()
    if not page.is_file():
        raise StudyError(f"{page}: does not exist; make it with: dvc repro")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        browser = None
    if browser is None:
        raise StudyError("no browser is installed; try: apt-get install chromium && pip install -c constraints.txt -e .[dev]")
    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=browser, args=["--no-sandbox"], timeout=300_000)
        tab = chromium.new_page(viewport={"width": 1280, "height": 1000}, device_scale_factor=1.5, color_scheme="light")
        tab.set_default_timeout(300_000)  # ms, for a busy machine
        tab.goto(page.as_uri())
        height = tab.evaluate(
            "(document.querySelector('.curves') ?? document.querySelector('main')).getBoundingClientRect().bottom"
        )
        shot: Any = {"x": 0, "y": 0, "width": 1280, "height": height + 16}
        tab.screenshot(path=root / "docs/site.jpg", type="jpeg", quality=80, clip=shot, full_page=True)
        chromium.close()
    return root / "docs/site.jpg"


if __name__ == "__main__":
    sys.exit(exit_code(lambda: print(take_picture(find_root())), "stopped"))
