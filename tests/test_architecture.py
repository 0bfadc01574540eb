"""The layout of the library: imports run one way, nothing forms a cycle, and packages stay small at the top."""

from bcdh_lib.core.code import LIBRARY, imports_of

ORDER = "core params study photos reconstruction pairs training retrieval search comparison report cli".split()  # noqa: SIM905
MODULES = [
    ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(LIBRARY.rglob("*.py"))
]


def part_of(module: str) -> str:
    """The folder or file at the top of the library that a module belongs to; empty for the library itself."""
    return [*module.split("."), ""][1]


def test_imports_run_one_way():
    wrong = [
        f"{module} imports {imported}"
        for module in MODULES
        for imported in imports_of(module)
        if part_of(module) and part_of(imported) and ORDER.index(part_of(imported)) > ORDER.index(part_of(module))
    ]
    assert wrong == []


def test_search_and_comparison_do_not_know_each_other():
    assert not [m for m in MODULES if part_of(m) == "comparison" and any(part_of(i) == "search" for i in imports_of(m))]


def test_no_modules_import_each_other():
    """Every module comes after all that it imports in some order: peel off modules without imports until none is left."""
    needs = {module: {i for i in imports_of(module) if not module.startswith(f"{i}.")} - {module} for module in MODULES}
    while ready := {module for module, imported in needs.items() if not imported}:
        needs = {module: imported - ready for module, imported in needs.items() if module not in ready}
    assert needs == {}


def test_the_top_of_the_library_is_the_pipeline():
    top = [path for path in LIBRARY.iterdir() if path.name != "__pycache__" and not path.name.startswith(".")]
    assert len([path for path in top if path.suffix == ".py" and path.stem != "__init__"]) <= 4
    assert len([path for path in top if path.is_dir()]) <= 9


def test_there_is_one_base_error():
    files = [path.name for path in LIBRARY.rglob("*.py") if "Error(Exception)" in path.read_text(encoding="utf-8")]
    assert files == ["errors.py"]
