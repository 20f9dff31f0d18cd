"""How the code is put together: what an operator touches, imports, the length of files and functions.

    python benchmarks/structure.py [--root .]

Everything is counted from the syntax trees of the packages' files; nothing is imported, and tests are not counted. The
last line is JSON:
operator_files          files outside modules/operators/ that name an operator, hence may have to change when one is
                        added (the spaces' file aside, see below); null while there is no modules/operators/
operator_names_outside  how often they name one; null likewise
circles                 groups of files that import one another in a circle; imports inside functions count too
upward_imports          imports that lead upwards in modules, pim_codesign, pipeline, launch, benchmarks
longest_function        lines of the longest function or method
longest_file            lines of the longest file

What names an operator, and where that is permitted (modules/space/search_space.py): benchmarks/operator_names.py.
"""

import ast
import json
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tyro

from benchmarks.operator_names import operator_names, operator_places
from benchmarks.source_files import PACKAGES, Function, Source, imported, read_sources

SHOWN = 10
"""Places that are listed one by one before the rest is only counted."""


@dataclass(frozen=True)
class StructureBenchmark:
    """What to count."""

    root: Path = Path(__file__).resolve().parents[1]
    """The folder that holds the packages."""


def measure(root: Path) -> tuple[list[tuple[str, str]], dict[str, int | None]]:
    """The rows of the table, and the figures of the last line."""
    sources = read_sources(root)
    files = [(source.lines, source.path) for source in sources]
    functions = [one for source in sources for one in function_lines(source)]
    rows, figures = _operator_figures(sources)
    graph = import_graph(sources)
    groups, upward = circles(graph), upward_imports(graph)
    rows += [
        ("circles of imports among files", _listed(" ↔ ".join(group) for group in groups)),
        ("the same among folders", _listed(" ↔ ".join(group) for group in circles(folders(graph)))),
        ("imports upwards", _listed(f"{path} → {target}" for path, target in upward)),
        ("lines of a file", _spread(files)),
        ("lines of a function", _spread(functions)),
    ]
    public = [one for source in sources for one in public_functions(source)]
    documented = sum(ast.get_docstring(one) is not None for one in public)
    rows += [
        ("public functions, typed", f"{sum(map(is_typed, public))} of {len(public)}"),
        ("public functions, documented", f"{documented} of {len(public)}"),
    ]
    figures |= {"circles": len(groups), "upward_imports": len(upward)}
    return rows, figures | {"longest_function": max(functions)[0], "longest_file": max(files)[0]}


def _operator_figures(sources: list[Source]) -> tuple[list[tuple[str, str]], dict[str, int | None]]:
    names = operator_names(sources)
    if names is None:
        return [("operators", "no modules/operators/ yet")], {"operator_files": None, "operator_names_outside": None}
    places = operator_places(sources, names)
    files = sorted({path for path, _, _ in places})
    rows = [
        ("operators", _listed(sorted(names.json))),
        ("files outside that name one", _listed(files)),
        ("places where they do", _listed(f"{path}:{line} {name}" for path, line, name in places)),
    ]
    return rows, {"operator_files": len(files), "operator_names_outside": len(places)}


def import_graph(sources: list[Source]) -> dict[str, set[str]]:
    """Path → the paths that its import statements name: of `from package import x` x's own file where it has one."""
    paths = {source.module: source.path for source in sources}
    graph: dict[str, set[str]] = {source.path: set() for source in sources}
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for module, name in imported(node, source):
                    target = paths.get(f"{module}.{name}") or paths.get(module)
                    if target is not None:
                        graph[source.path].add(target)
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of nodes of which each reaches each (strongly connected), of more than one node or with a loop."""
    reached = {node: _reachable(graph, node) for node in graph}
    groups = {
        frozenset(other for other in reached[node] if node in reached[other]) for node in graph if node in reached[node]
    }
    return sorted(sorted(group) for group in groups)


def _reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """The nodes that one or more arrows lead to."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            waiting += graph[node]
    return seen


def folders(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same graph between the folders that hold the files; arrows inside a folder are left out."""
    found: dict[str, set[str]] = {Path(path).parent.as_posix(): set() for path in graph}
    for path, targets in graph.items():
        own = Path(path).parent.as_posix()
        found[own] |= {Path(target).parent.as_posix() for target in targets} - {own}
    return found


def upward_imports(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """(from, to) of the imports that lead from a lower package to a higher one."""
    height = {path: PACKAGES.index(path.partition("/")[0]) for path in graph}
    return sorted((path, target) for path in graph for target in graph[path] if height[target] > height[path])


def function_lines(source: Source) -> list[tuple[int, str]]:
    """(lines, path:name) of every function and method of a file, from `def` to its end, docstring included."""
    nodes = [node for node in ast.walk(source.tree) if isinstance(node, Function)]
    return [((node.end_lineno or node.lineno) - node.lineno + 1, f"{source.path}:{node.name}") for node in nodes]


def public_functions(source: Source) -> list[Function]:
    """The functions of a file and the methods of its classes whose names, and their classes' names, are public."""
    found: list[Function] = []
    for node in source.tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else [node]
        found += [one for one in inside if isinstance(one, Function) and not one.name.startswith("_")]
    return found


def is_typed(function: Function) -> bool:
    """Whether the result and every argument but `self` or `cls` have a type."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    names = [one for one in given if one is not None and one.arg not in ("self", "cls")]
    return function.returns is not None and all(one.annotation is not None for one in names)


def _listed(places: Iterable[str]) -> str:
    """How many, and the first of them a line each."""
    found = list(places)
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join([str(len(found)), *found[:SHOWN], *more])


def _spread(sizes: list[tuple[int, str]]) -> str:
    """How many there are, the median of their lines and the longest with its name."""
    longest, name = max(sizes)
    return f"{len(sizes):,}: median {statistics.median(lines for lines, _ in sizes):g}, longest {longest} ({name})"


def main(options: StructureBenchmark) -> None:
    """Print the table and, as the last line, the figures as JSON."""
    rows, figures = measure(options.root)
    for title, value in rows:
        first, *rest = value.splitlines()
        print(f"{title:32}{first}", *(f"{'':32}  {line}" for line in rest), sep="\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    try:
        main(tyro.cli(StructureBenchmark, description=__doc__))
    except ValueError as error:
        sys.exit(f"structure.py: {error}")
