"""Packages whose names are imported when they are first used.

torch, TorchRec and FBGEMM take seconds to import. A package that gives its names this way is imported at once, and
so is what lies in it and needs none of them, such as settings: a command line is read before the libraries are.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def imported_on_use(package: str, names: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """The `__getattr__` of a package that gives `names`, by the module that each is in.

    A name that is a module's of the package too, as `plan` of plan.py would be, cannot be given so: once the module is
    imported, Python has it in the name's place. The package imports the same names under `TYPE_CHECKING`, for readers
    and mypy, and lists them in `__all__`.

    >>> name_of = imported_on_use("concurrent", {"concurrent.futures": ("Future",)})
    >>> name_of("Future").__name__
    'Future'
    >>> name_of("Past")
    Traceback (most recent call last):
    AttributeError: module 'concurrent' has no attribute 'Past'
    """
    modules = {name: module for module, own in names.items() for name in own}

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return get
