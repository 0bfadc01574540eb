"""Registries that find their files: a new loss, backbone or benchmark is one file in its folder, and no list names it."""

import importlib
import pkgutil
from typing import Any


def discover(package: str, attribute: str) -> dict[str, Any]:
    """`attribute` of every module of the package that has it, by the module's name; files without it are helpers.

    package: dotted, usually the __name__ of the registry's __init__.
    """
    folder = importlib.import_module(package).__path__
    names = sorted(module.name for module in pkgutil.iter_modules(folder))
    modules = {name: importlib.import_module(f"{package}.{name}") for name in names}
    return {name: getattr(module, attribute) for name, module in modules.items() if hasattr(module, attribute)}
