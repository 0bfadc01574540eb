"""A made study to build a site of: three executed notebooks, counts, and tables of a comparison."""

import base64
import io
import json
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

PARAMS = Path(__file__).parents[2] / "params.yaml"
NAMES = ["01_photos", "02_reconstruction", "03_pairs"]
COLUMNS, ROW = "scoring,bits,method,seeds,map,low,high", "64,binary_constrained,5,0.61,0.58,0.63"
TABLES = {
    "headline.csv": f"{COLUMNS},role\nhamming,{ROW},bcdh\n",
    "mean.csv": f"{COLUMNS}\nhamming,{ROW}\nhamming,128,a<b,5,0.25,0.2,0.3\n",
}
REAL = {"real_benchmarks.csv": f"{COLUMNS},benchmark,trained_on\nrecentred,{ROW},holidays300,both\n"}


def make_study(root, *cells):
    """The study in a new folder; each page has the cells after its title."""
    (root / "reports/executed").mkdir(parents=True)
    (root / "dvc.yaml").touch()
    (root / "params.yaml").write_bytes(PARAMS.read_bytes())
    (root / "reports/metrics.json").write_text(json.dumps({"counts": {"photos": 1764}}))
    write_tables(root, TABLES)
    for name in NAMES:
        write_page(root, name, *cells)


def write_tables(root, tables):
    (root / "reports/study").mkdir(exist_ok=True)
    for name, text in tables.items():
        (root / "reports/study" / name).write_text(text)
    (root / "reports/study/tables.json").write_text(json.dumps({name: {"command": "", "about": ""} for name in tables}))


def write_page(root, name, *cells):
    write_notebook(root / f"reports/executed/{name}.ipynb", f"# Page of {name}\n\nWhat {name} is.", *cells)


def write_notebook(path, title, *cells):
    notebook = new_notebook(cells=[new_markdown_cell(title), *cells])
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"
    nbformat.write(notebook, path)


def picture(view=False, alt="A tower."):
    """A cell that shows a picture, or a view that can be turned."""
    buffer = io.BytesIO()
    Image.new("RGB", (1520, 900), "white").save(buffer, "PNG")
    scene = {"data": [{"type": "scatter3d", "x": [0, 1], "y": [0, 1], "z": [0, 1], "mode": "markers"}], "layout": {}}
    data = {"image/png": base64.b64encode(buffer.getvalue()).decode()}
    data |= {"application/vnd.plotly.v1+json": scene} if view else {}
    metadata = {"image/png": {"alt": alt, "width": 760}}
    return new_code_cell("show()", outputs=[new_output("display_data", data, metadata=metadata)])
