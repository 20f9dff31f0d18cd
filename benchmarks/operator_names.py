"""Where the code names an operator outside the operators' own folder.

What counts as a name of an operator:
* the class of an operator, or an instance that its file gives a name, as an identifier or as a word of a string;
* anything else imported from an operator's file, or the file's module itself;
* its JSON name as a string, alone or as part of a path ("blocks.0.dense.fc"), and, where the name is no ordinary word
  (it has an underscore), as a word of a longer string; and as an identifier, unless Python has a builtin of that name.
A JSON name that is also a place in a network (a field of `Block`, or the `branch` that a class of modules/operators/
gives: the mergers, the head) does not count, since it names the place and not the operator there; classes still do.
Neither do docstrings, comments, and what a file imports under such a name from another project.

Where architectures are written down, operators are named, and adding an operator changes none of it:
modules/space/search_space.py lists the operators of each space, modules/space/nasrec.py and
benchmarks/nasrec_reference.py give them the numbers of the authors' code, and modules/space/handmade/ holds
architectures that people made. The two ends of a network, its stem and its head, are no choices of a block.
"""

import ast
import builtins
import re
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.source_files import PACKAGES, Function, Source, imported

OPERATORS = "modules/operators/"
"""The folder that holds an operator a file."""
WRITTEN_DOWN = (
    "modules/space/search_space.py",
    "modules/space/nasrec.py",
    "modules/space/handmade/",
    "benchmarks/nasrec_reference.py",
)
"""Where spaces and architectures are written down, and operators are named therefore."""
ENDS = ("projections", "stem", "head")
"""Branches of what stands at the ends of every network."""


@dataclass(frozen=True)
class Names:
    """The words that name an operator."""

    classes: frozenset[str]
    """Their classes, and the names that the operators' files give to instances of them."""
    json: frozenset[str]
    """JSON names, those of places in a network left out."""
    modules: frozenset[str]
    """The modules of the operators' files."""

    def identifier(self, name: str) -> bool:
        """Whether an identifier names an operator."""
        return name in self.classes or name in self.json - set(dir(builtins))

    def string(self, text: str) -> bool:
        """Whether a string names an operator."""
        words = set(re.findall(r"\w+", text))
        known = self.json if re.search(r"\s", text.strip()) is None else {name for name in self.json if "_" in name}
        return not words.isdisjoint(self.classes | known)


def operator_names(sources: list[Source]) -> Names | None:
    """What names the operators, or None when there is no folder of operators.

    Raises:
        ValueError: an operator has no JSON name that can be read from its class: `name = "..."` or a property that
            returns one, its own or inherited.
    """
    own = [source for source in sources if source.path.startswith(OPERATORS)]
    if not own:
        return None
    classes = {name: node for source in own for name, node in _classes(source).items()}
    operators = _operators({name: node for name, node in classes.items() if not set(_texts(node, "branch")) & {*ENDS}})
    instances = {
        name
        for source in own
        for name, value in _assigned(source.tree).items()
        if isinstance(value, ast.Call) and _last_word(value.func) in operators
    }
    places = {value for node in classes.values() for value in _texts(node, "branch")}
    for source in sources:
        if source.path.startswith("modules/space/") and "Block" in _classes(source):
            places |= _assigned(_classes(source)["Block"]).keys()
    return Names(
        classes=frozenset(operators.keys() | instances),
        json=frozenset(operators.values()) - places,
        modules=frozenset(source.module for source in own if not operators.keys().isdisjoint(_classes(source))),
    )


def _operators(classes: dict[str, ast.ClassDef]) -> dict[str, str]:
    """Class → JSON name of the descendants of `Operator` that are neither abstract nor only there to be inherited."""
    descendants = {name: _ancestors(name, classes) for name in classes if "Operator" in _ancestors(name, classes)}
    parents = {parent for ancestors in descendants.values() for parent in ancestors}
    found: dict[str, str] = {}
    for name in descendants:
        json_name = _json_name(name, classes)
        if json_name is not None and not _is_abstract(classes[name]):
            found[name] = json_name
        elif name not in parents:
            raise ValueError(f'{OPERATORS}: operator {name} has no JSON name; give its class a `name = "..."`')
    return found


def _classes(source: Source) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in source.tree.body if isinstance(node, ast.ClassDef)}


def _ancestors(name: str, classes: dict[str, ast.ClassDef]) -> list[str]:
    """The classes above a class, nearest first, as far as they are among `classes`."""
    found: list[str] = []
    for base in classes[name].bases:
        parent = _last_word(base)
        found += [parent, *(_ancestors(parent, classes) if parent in classes and parent != name else [])]
    return found


def _last_word(node: ast.expr) -> str:
    """`Operator` of `Operator`, `operator.Operator` and `Operator[T]`."""
    return re.findall(r"\w+", ast.unparse(node).partition("[")[0])[-1]


def _is_abstract(node: ast.ClassDef) -> bool:
    decorators = [decorator for one in node.body if isinstance(one, Function) for decorator in one.decorator_list]
    return any(_last_word(decorator) == "abstractmethod" for decorator in decorators)


def _assigned(node: ast.ClassDef | ast.Module) -> dict[str, ast.expr | None]:
    """What the body of a class or module assigns to names."""
    found: dict[str, ast.expr | None] = {}
    for one in node.body:
        match one:
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                found[name] = value
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = value
    return found


def _json_name(name: str, classes: dict[str, ast.ClassDef]) -> str | None:
    known = [ancestor for ancestor in [name, *_ancestors(name, classes)] if ancestor in classes]
    return next((text for ancestor in known for text in _texts(classes[ancestor], "name")), None)


def _texts(node: ast.ClassDef, name: str) -> list[str]:
    """The strings that a class assigns to a name, or that its property of that name returns."""
    methods = [one for one in node.body if isinstance(one, Function) and one.name == name]
    returned = [inner.value for one in methods for inner in ast.walk(one) if isinstance(inner, ast.Return)]
    values = [_assigned(node).get(name), *returned]
    return [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]


def operator_places(sources: list[Source], names: Names) -> list[tuple[str, int, str]]:
    """(path, line, name) of everything that names an operator where it may not."""
    outside = [source for source in sources if not source.path.startswith((OPERATORS, *WRITTEN_DOWN))]
    found = {place for source in outside for place in _places(source, names)}
    return sorted(found)


def _places(source: Source, names: Names) -> Iterator[tuple[str, int, str]]:
    docstrings = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    of_libraries = set(_library_names(source))
    for node in ast.walk(source.tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings and names.string(text):
                yield source.path, line, repr(text)
            case ast.Import() | ast.ImportFrom():
                for target, name in imported(node, source):
                    named = names.identifier(name) and name not in of_libraries
                    if target in names.modules or f"{target}.{name}" in names.modules or named:
                        yield source.path, line, f"import of {name or target}"
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                if names.identifier(name) and name not in of_libraries:
                    yield source.path, line, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                if names.identifier(name) and name not in of_libraries:
                    yield source.path, line, name


def _library_names(source: Source) -> Iterator[str]:
    """The names that a file imports from other projects, which may have a class called as ours."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and imported(node, source)[0][0].partition(".")[0] not in PACKAGES:
            yield from (alias.asname or alias.name for alias in node.names)
