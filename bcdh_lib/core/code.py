"""One digest of code for all: the modules that a step imports, each as its syntax tree.

Comments, docstrings and layout change no digest. Imports are followed through the source, and a registry (a package whose
__init__ calls `discover`) brings every module of its folder.
"""

import ast
import functools
import hashlib
from collections.abc import Collection
from pathlib import Path

LIBRARY = Path(__file__).parent.parent
SETTINGS = ("bcdh_lib.params", "bcdh_lib.study")
"""Every step imports these; a step's settings enter its digest by their values, its files by their contents."""


def code_digest(*modules: str, without: Collection[str] = ()) -> str:
    """16 hexadecimal digits of the code of these modules (dotted names) and of all they import from bcdh_lib.

    without: modules left out, and with them what they alone import; for one file of a registry, say, its neighbours.
    """
    digest = hashlib.sha256()
    for name in sorted(modules_of(*modules, without=without)):
        digest.update(f"{name}\n{ast.dump(_WithoutProse().visit(_parse(name)))}\n".encode())
    return digest.hexdigest()[:16]


def modules_of(*modules: str, without: Collection[str] = ()) -> set[str]:
    """The modules themselves and all that they import from bcdh_lib, directly or not."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting := {name for name in waiting - found if _file_of(name)}.difference(without, SETTINGS):
        found |= waiting
        waiting = {imported for name in waiting for imported in imports_of(name)}
    return found


@functools.cache
def imports_of(module: str) -> frozenset[str]:
    """What a module imports from bcdh_lib by itself, and the packages that importing it runs first."""
    found = {".".join(module.split(".")[:end]) for end in range(1, module.count(".") + 1)}
    for node in ast.walk(_parse(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "discover":
            found |= {f"{module}.{path.stem}" for path in (LIBRARY.parent / module.replace(".", "/")).glob("[!_]*.py")}
    return frozenset(name for name in found if name.split(".")[0] == "bcdh_lib" and _file_of(name))


def _file_of(module: str) -> Path | None:
    place = LIBRARY.parent / module.replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _parse(module: str) -> ast.Module:
    file = _file_of(module)
    return ast.parse(file.read_text(encoding="utf-8") if file else "")


class _WithoutProse(ast.NodeTransformer):
    """Drops strings that stand by themselves: they describe what is around or above them. Comments are in no tree."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node
