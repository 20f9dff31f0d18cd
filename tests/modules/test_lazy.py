"""modules/lazy.py: the packages that give their names when they are first used."""

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for package in ("modules", "pim_codesign", "pipeline")
    for path in (ROOT / package).rglob("__init__.py")
    if "imported_on_use(" in path.read_text()
)


def typed_imports(package: ModuleType) -> dict[str, str]:
    """Name → module of the imports under TYPE_CHECKING."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_gives_what_readers_and_mypy_see(name: str) -> None:
    """Its `__all__` is what it imports under TYPE_CHECKING, and each name is that module's own."""
    package = importlib.import_module(name)
    imports = typed_imports(package)
    assert sorted(imports) == sorted(package.__all__)
    for own, module in imports.items():
        assert getattr(package, own) is getattr(importlib.import_module(module), own)


@pytest.mark.parametrize("name", PACKAGES)
def test_no_name_is_a_modules(name: str) -> None:
    """Once such a module is imported it would stand in the name's place."""
    package = importlib.import_module(name)
    assert not {module.name for module in pkgutil.iter_modules(package.__path__)} & {*package.__all__}


def test_a_name_that_is_not_there() -> None:
    """It is an AttributeError, and an ImportError where it is imported, as of any package."""
    package = importlib.import_module("modules.space")
    with pytest.raises(AttributeError, match=r"module 'modules\.space' has no attribute 'Nothing'"):
        package.Nothing  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from modules.space import Nothing")
