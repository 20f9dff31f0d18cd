"""The structure benchmark on small made-up projects whose figures can be counted by hand."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks.operator_names import operator_names, operator_places
from benchmarks.source_files import Source, read_sources
from benchmarks.structure import circles, folders, import_graph, is_typed, measure, public_functions, upward_imports

ROOT = Path(__file__).parents[2]

OPERATORS = {
    "modules/operators/__init__.py": "from modules.operators.product import DotProduct\n",
    "modules/operators/operator.py": """
        from abc import ABC, abstractmethod
        class Operator(ABC):
            @property
            @abstractmethod
            def name(self): ...
        class Binary(Operator):
            pass
        """,
    "modules/operators/product.py": """
        from modules.operators.operator import Operator
        class DotProduct(Operator):
            name = "dot_product"
        PAIRS = 8
        """,
    "modules/operators/total.py": """
        from modules.operators import operator
        class Total(operator.Binary):
            @property
            def name(self):
                return "sum"
        TOTAL = Total()
        """,
    "modules/operators/merger.py": """
        from .operator import Operator
        class Merger(Operator):
            name: str = "dense_to_sparse"
        class Head(Operator):
            name = "head"
            branch = "head"
        """,
    "modules/space/search_space.py": """
        from modules.operators.product import DotProduct
        SPACE = [DotProduct(), "sum"]
        """,
    "modules/space/architecture.py": """
        class Block:
            dense_to_sparse: bool
        """,
}


def project(folder: Path, files: dict[str, str]) -> list[Source]:
    """The files of a made-up project, written and read."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(dedent(text))
    return read_sources(folder)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("from modules.operators import operator\nkind = operator.Operator", []),
        ('"""dot_product and DotProduct."""\nx = 1\n"""dot_product"""', []),
        ("total = sum([1])\nblock.dense_to_sparse = getattr(block, 'dense_to_sparse')", []),
        ("message = 'the sum of all'", []),
        ("x = 'dot_products'", []),
        ("from torchrec.modules import DotProduct\nx = DotProduct()", []),
        ("match x:\n    case 'dot_product': ...", ["'dot_product'"]),
        ("x = ['sum']", ["'sum'"]),
        ("x = f'{y}.dense.sum'", ["'.dense.sum'"]),
        ("x = f'{y}.dense_to_sparse'; network.head = x['head.weight']", []),
        ("x = Head()", []),
        ("x = 'use dot_product here'", ["'use dot_product here'"]),
        ("x = dict(dot_product=1)", ["dot_product"]),
        ("def dot_product(): ...", ["dot_product"]),
        ("isinstance(x, operators.DotProduct)", ["DotProduct"]),
        ("def f(x: 'Total'): ...", ["'Total'"]),
        ("from modules.operators import TOTAL", ["import of TOTAL"]),
        ("from modules.operators.product import PAIRS", ["import of PAIRS"]),
        ("from modules.operators import product", ["import of product"]),
        ("import modules.operators.product", ["import of modules.operators.product"]),
    ],
)
def test_what_names_an_operator(tmp_path: Path, text: str, named: list[str]) -> None:
    """Classes, instances, imports and JSON names count; docstrings, prose, builtins, places and libraries do not."""
    sources = project(tmp_path, {**OPERATORS, "pipeline/page.py": text})
    names = operator_names(sources)
    assert names is not None and names.json == {"dot_product", "sum"}
    assert [(path, name) for path, _, name in operator_places(sources, names)] == [
        ("pipeline/page.py", n) for n in named
    ]


def test_an_operator_without_a_name_is_refused(tmp_path: Path) -> None:
    """An operator whose JSON name cannot be read would not be found anywhere: it is named instead."""
    nameless = "from modules.operators.operator import Binary\nclass Gate(Binary):\n    name = str(1)\n"
    with pytest.raises(ValueError, match="operator Gate has no JSON name"):
        operator_names(project(tmp_path, {**OPERATORS, "modules/operators/gate.py": nameless}))


@given(
    st.integers(1, 7).flatmap(
        lambda size: st.lists(st.lists(st.booleans(), min_size=size, max_size=size), min_size=size, max_size=size)
    )
)
@pytest.mark.slow
def test_circles_are_the_strong_components(arrows: list[list[bool]]) -> None:
    """Circles are scipy's strongly connected components of more than one node, and the nodes with a loop."""
    nodes = [f"{index}.py" for index in range(len(arrows))]
    graph = {
        node: {nodes[to] for to, there in enumerate(row) if there} for node, row in zip(nodes, arrows, strict=True)
    }
    _, labels = connected_components(csr_array(numpy.array(arrows, dtype=float)), directed=True, connection="strong")
    components = [[node for node, label in zip(nodes, labels, strict=True) if label == one] for one in set(labels)]
    expected = [group for group in components if len(group) > 1 or group[0] in graph[group[0]]]
    assert circles(graph) == sorted(expected)


IMPORTS = {
    "modules/__init__.py": "from modules.low import thing\n",
    "modules/low.py": "def thing():\n    from modules.late import other\n",
    "modules/late.py": "from modules import low\nimport pipeline.data.read\n",
    "pipeline/data/read.py": "from .. import run\nfrom . import write\nimport numpy\n",
    "pipeline/data/write.py": "",
    "pipeline/run.py": "import modules\nfrom pipeline.data import write\n",
}


def test_imports(tmp_path: Path) -> None:
    """Relative, late and plain imports are arrows; a circle of files, one of folders and an arrow upwards are found."""
    graph = import_graph(project(tmp_path, IMPORTS))
    assert graph == {
        "modules/__init__.py": {"modules/low.py"},
        "modules/low.py": {"modules/late.py"},
        "modules/late.py": {"modules/low.py", "pipeline/data/read.py"},
        "pipeline/data/read.py": {"pipeline/run.py", "pipeline/data/write.py"},
        "pipeline/data/write.py": set(),
        "pipeline/run.py": {"modules/__init__.py", "pipeline/data/write.py"},
    }
    (circle,) = circles(graph)
    assert circle == [
        "modules/__init__.py",
        "modules/late.py",
        "modules/low.py",
        "pipeline/data/read.py",
        "pipeline/run.py",
    ]
    assert circles(folders(graph)) == [["modules", "pipeline", "pipeline/data"]]
    assert upward_imports(graph) == [("modules/late.py", "pipeline/data/read.py")]


def test_public_functions() -> None:
    """Functions and methods whose own and whose class's names are public; typed when all but `self` is."""
    text = """
        def typed(a: int, *b: int, c: int = 0, **d: int) -> None:
            def inner(x): ...
        def no_result(a: int): ...
        def no_type(a, /) -> None: ...
        def _private(a): ...
        class Public:
            def __init__(self, x): ...
            def method(self, *, a) -> None: ...
        class _Private:
            def method(self): ...
        """
    found = public_functions(Source("modules/a.py", ast.parse(dedent(text)), 1))
    assert {one.name: is_typed(one) for one in found} == {
        "typed": True,
        "no_result": False,
        "no_type": False,
        "method": False,
    }


def test_figures(tmp_path: Path) -> None:
    """The program's last line holds the figures of the project it is given, and its table the names behind them."""
    long = "def long() -> None:\n    '''Doc.'''\n" + "    pass\n" * 70
    files = {**OPERATORS, "pipeline/long.py": long, "pipeline/uses.py": "x = 'dot_product'\ny = ['sum']\n"}
    project(tmp_path, files)
    command = [sys.executable, "benchmarks/structure.py", "--root", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pipeline/uses.py:2 'sum'" in done.stdout
    assert "longest 72 (pipeline/long.py:long)" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "operator_files": 1,
        "operator_names_outside": 2,
        "circles": 0,
        "upward_imports": 0,
        "longest_function": 72,
        "longest_file": 72,
    }


def test_a_folder_without_packages_is_refused(tmp_path: Path) -> None:
    """A wrong --root is one line that names the folder."""
    with pytest.raises(ValueError, match="none of the packages"):
        measure(tmp_path)


@pytest.mark.slow
def test_this_project() -> None:
    """No file of this project imports upwards or in a circle, and no function is longer than 60 lines."""
    _, figures = measure(ROOT)
    assert (figures["circles"], figures["upward_imports"]) == (0, 0)
    assert figures["longest_function"] is not None and figures["longest_function"] <= 60
