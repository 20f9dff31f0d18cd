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
