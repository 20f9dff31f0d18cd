"""The packages' source files as syntax trees, and what their import statements name: what structure.py counts in."""

import ast
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("modules", "pim_codesign", "pipeline", "launch", "benchmarks")
"""The packages, each of which may import those before it."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file of a package."""

    path: str
    """Its path below the root, with forward slashes."""
    tree: ast.Module
    """Its syntax tree."""
    lines: int
    """Its lines, blank ones and comments included."""

    @property
    def module(self) -> str:
        """Its name in an import."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def package(self) -> str:
        """The first part of its path."""
        return self.path.partition("/")[0]


def read_sources(root: Path) -> list[Source]:
    """Every Python file of the packages, by path. Raises ValueError when the folder holds none of them."""
    paths = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
    if not paths:
        raise ValueError(f"--root {root}: none of the packages {', '.join(PACKAGES)} there; give the project's folder")
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return [Source(path, ast.parse(text, path), len(text.splitlines())) for path, text in texts.items()]


def imported(node: ast.Import | ast.ImportFrom, source: Source) -> list[tuple[str, str]]:
    """(module, name in it or nothing) of an import statement."""
    if isinstance(node, ast.Import):
        return [(alias.name, "") for alias in node.names]
    above = source.path.removesuffix(".py").split("/")[: -node.level] if node.level else []
    module = ".".join([*above, *([node.module] if node.module else [])])
    return [(module, alias.name) for alias in node.names]
