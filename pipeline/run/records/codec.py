"""Records as JSON and back, through cattrs: strict in types and fields, with errors that name the file and the field.

cattrs and not msgspec: msgspec reads a dataclass natively and lets no hook in between, but an architecture is read with
the operators of its run's search space (`Architecture.from_json`), and that in one place for all records.

Every file but the line files (.jsonl) begins with "format", the version of its layout. A file of another version is
refused; so is, as a whole, a run folder whose config.json has no version or another one (`check_run_format`).
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from cattrs import Converter, transform_error
from cattrs.cols import homogenous_tuple_structure_factory, mapping_structure_factory
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn

from modules.space import OPEN, Architecture, SearchSpace
from pipeline.run.files import atomic_write, read_json, sync_folder, write_json

T = TypeVar("T")

RUN_FORMAT = 10
"""Version of a run folder: of config.json and of every file whose record does not say a version of its own."""

_WRITE_AGAIN = "repair the file, or remove it: the same command writes it again"


def check_run_format(config: Any, path: Path) -> None:
    """Raise ValueError unless `config`, the document in `path` (config.json), is of this version's format."""
    found = config.get("format") if isinstance(config, dict) else None
    if found != RUN_FORMAT:
        begun = "has no format version" if found is None else f"has format {found!r}"
        raise ValueError(
            f"{path.parent} was begun with another version of this program: config.json {begun}, this version reads "
            f"format {RUN_FORMAT}; begin a new run (--run with another name), or use the version it was begun with"
        )


def write_record(path: Path, record: Any) -> None:
    """Write a record atomically as a JSON document that begins with its format. ValueError for NaN and infinity."""
    write_json(path, {"format": _format(type(record)), **to_plain(record)})


def read_record(path: Path, kind: type[T], space: SearchSpace | None = None) -> T:
    """The record in `path`. `space`: the run's, needed where the record holds architectures.

    Raises ValueError naming the file, the field, what was found there, and what to do; for a file that does not exist
    it says which program writes it.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; {getattr(kind, 'HOW_TO_MAKE', 'run the stage that writes it')}")
    document = read_json(path)
    if not isinstance(document, dict):
        raise ValueError(f"{path}: found {_shown(document)}, expected an object; {_WRITE_AGAIN}")
    if document.get("format") != _format(kind):
        raise ValueError(
            f"{path}: field 'format': found {_shown(document.get('format'))}, this version reads {_format(kind)}; "
            f"{_WRITE_AGAIN}"
        )
    fields = {name: value for name, value in document.items() if name != "format"}
    return from_plain(fields, kind, str(path), space, _WRITE_AGAIN)


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Write records atomically, one JSON object per line."""
    with atomic_write(path, text=True) as file:
        file.writelines(line_of(record) for record in records)


def append_lines(path: Path, records: Iterable[Any]) -> None:
    """Append records to a .jsonl file, made if absent; they are on the disk when this returns.

    A kill, or a full disk, can leave a last line without its end; `drop_cut_line` removes it. Raises OSError naming the
    file when it cannot be written.
    """
    is_new = not path.exists()
    try:
        with path.open("ab") as file:
            file.write("".join(line_of(record) for record in records).encode())
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        what = f"{error.strerror} while writing; make room on the disk and run the same command again"
        raise OSError(error.errno, what, str(path)) from error


def drop_cut_line(path: Path) -> None:
    """Cut what stands behind the last line end of an appended file, if there is such a file."""
    if path.is_file():
        with path.open("r+b") as file:
            contents = file.read()
            file.truncate(contents.rfind(b"\n") + 1)
            file.flush()
            os.fsync(file.fileno())


def line_of(record: Any) -> str:
    """A record as one line of a .jsonl file, its end included."""
    return json.dumps(to_plain(record), allow_nan=False) + "\n"


def read_lines(
    path: Path, kind: type[T], space: SearchSpace | None = None, appended: bool = False
) -> Iterator[tuple[str, T]]:
    """The lines of a .jsonl file as (line, record); none when the file is absent.

    Where the file is `appended` to, a last line that was cut by a kill, or is being written now, is left out. Raises
    ValueError naming the file, the line and the field.
    """
    if not path.is_file():
        return
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if appended and not line.endswith(b"\n"):
                return
            where, advice = f"{path}, line {number}", "repair or remove the line"
            try:
                value = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where}: not JSON: {error}; {advice}") from error
            yield line.decode(), from_plain(value, kind, where, space, advice)


def to_plain(record: Any) -> Any:
    """A record as plain JSON values; `from_plain` gives it back exactly."""
    return _converter(None).unstructure(record)


def from_plain(
    value: Any, kind: type[T], where: str, space: SearchSpace | None = None, advice: str = _WRITE_AGAIN
) -> T:
    """The record of type `kind` that plain JSON values hold.

    Raises ValueError beginning with `where` (a file, or a file and a line), naming field and found value, and ending
    with `advice`.
    """
    try:
        return _converter(space).structure(value, kind)
    except (BaseValidationError, ValueError, TypeError) as error:
        raise ValueError(f"{where}: {_first_problem(error)}; {advice}") from error


def _first_problem(error: Exception) -> str:
    """The first thing wrong, as "field 'models[0].test.auc': found ..., expected ..."."""
    if not isinstance(error, BaseValidationError):
        return str(error)
    message, _, at = transform_error(error, format_exception=_message)[0].rpartition(" @ $")
    field = at.lstrip(".")
    return f"field {field!r}: {message}" if field else message


def _message(error: BaseException, _: Any) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in dataclasses.fields(error.cl)]
        return f"unknown fields {sorted(error.extra_fields)}; known are {known}"
    return str(error)


def _format(kind: type) -> int:
    version: int = getattr(kind, "FORMAT", RUN_FORMAT)
    return version


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@functools.lru_cache(maxsize=8)
def _converter(space: SearchSpace | None) -> Converter:
    """cattrs with this project's rules: nothing is converted silently, and architectures belong to the space."""
    converter = Converter(forbid_extra_keys=True)
    for kind, expected in ((str, "a text"), (bool, "true or false"), (int, "a whole number"), (float, "a number")):
        converter.register_structure_hook(kind, functools.partial(_scalar, expected))
    containers: tuple[tuple[Callable[[Any], bool], type, str, Callable[..., Any]], ...] = (
        (dataclasses.is_dataclass, dict, "an object", make_dict_structure_fn),
        (lambda kind: get_origin(kind) is dict, dict, "an object", mapping_structure_factory),
        (lambda kind: get_origin(kind) is tuple, list, "a list", homogenous_tuple_structure_factory),
    )
    for applies, plain, expected, factory in containers:
        converter.register_structure_hook_factory(
            applies,
            lambda kind, plain=plain, expected=expected, factory=factory: _checked(
                factory(kind, converter), plain, expected
            ),
        )
    converter.register_structure_hook_func(lambda kind: get_origin(kind) is Literal, _literal)

    def architecture(value: Any, _: type) -> Architecture:
        assert space is not None, "records with architectures are read with the run's space"
        try:
            return _architecture_of(value, space)
        except ValueError:  # hand-made models are of the open space whatever the run's is
            if space is not OPEN:
                with contextlib.suppress(ValueError):
                    return _architecture_of(value, OPEN)
            raise

    converter.register_structure_hook(Architecture, architecture)
    converter.register_unstructure_hook(Architecture, lambda value: value.to_json())
    return converter


def _architecture_of(value: Any, space: SearchSpace) -> Architecture:
    found = Architecture.from_json(value, space)
    space.check(found)
    return found


def _checked(read: Callable[[Any, Any], Any], plain: type, expected: str) -> Callable[[Any, Any], Any]:
    """`read`, for values of the plain type only: cattrs would go through the characters of a text as through a list."""

    def structure(value: Any, kind: Any) -> Any:
        if not isinstance(value, plain):
            raise ValueError(f"found {_shown(value)}, expected {expected}")
        return read(value, kind)

    return structure


def _literal(value: Any, kind: Any) -> Any:
    if value not in get_args(kind):
        raise ValueError(f"found {_shown(value)}, expected one of {list(get_args(kind))}")
    return value


def _scalar(expected: str, value: Any, kind: Any) -> Any:
    """`value` if it is of the kind; whole numbers are numbers too, true and false are not."""
    allowed: Any = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"found {_shown(value)}, expected {expected}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"found {value}, expected a finite number")
    return kind(value)
