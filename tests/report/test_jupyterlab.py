"""A notebook in JupyterLab, in a real browser: it opens without a dialog, shows no change, and runs to its last figure."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from bcdh_lib.report.picture import find_browser

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
CHROMIUM = find_browser()
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed: apt-get install chromium")
CELLS = [
    "import numpy as np\nfrom bcdh_lib.report.figures import models, training\nfrom tqdm.auto import tqdm",
    "training.matrices({'Similar': np.eye(4, dtype=bool)})",
    "corners = np.random.default_rng(0).uniform(size=(50, 3))\n"
    "model = models.Model(corners, corners, np.ones((1, 5, 3)) + np.eye(5)[:, :3], [7], 50)\nmodels.view_of(model)",
    "for step in tqdm(range(3), desc='pairing'): pass",
]


@pytest.fixture
def address(tmp_path):
    """JupyterLab with one notebook, prepared as `make lab` does."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "tools/lab.py", tmp_path / "tools")
    notebook = new_notebook(cells=[new_markdown_cell("# A page"), *(new_code_cell(source) for source in CELLS)])
    notebook.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "notebooks/page.ipynb")
    subprocess.run([sys.executable, tmp_path / "tools/lab.py"], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment = os.environ | folders | {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(ROOT)}
    options = [f"--ServerApp.port={port}", "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", "--allow-root"]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", *options, tmp_path / "notebooks"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 400
        while server.poll() is None and time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/api"):
                break
            time.sleep(0.2)
        else:
            pytest.fail((tmp_path / "log").read_text())
        yield f"http://127.0.0.1:{port}/lab/tree/page.ipynb"
    finally:
        server.terminate()
        server.wait()


def test_a_notebook_opens_quietly_and_runs_to_its_last_figure(address):
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(400_000)  # a busy machine starts a kernel slowly
        page.goto(address, wait_until="commit")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', state="attached")
        page.wait_for_timeout(1000)  # a dialog, or the question about news, comes after the notebook
        assert page.locator(".jp-Dialog").count() == 0
        assert page.locator(".Toastify__toast").count() == 0
        assert page.locator(".jp-mod-dirty").count() == 0
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        for cell in (1, 2):  # a view that can be turned is shown as its picture until the pointer is on it
            page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output img").wait_for(state="attached")
        page.locator(".jp-CodeCell").nth(3).locator(".widget-hprogress").wait_for()
        assert page.locator(".jp-RenderedText[data-mime-type*='stderr']").count() == 0
        browser.close()
