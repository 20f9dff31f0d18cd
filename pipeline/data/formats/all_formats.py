"""The data formats. A new format is a file beside this one and an entry here."""

from pipeline.data.formats.parquet import PARQUET
from pipeline.data.formats.reader import Format
from pipeline.data.formats.text import TEXT
from pipeline.data.storage.paths import list_files

FORMATS = (PARQUET, TEXT)
"""The first that recognizes a file reads it. A file that none recognizes, but that was named, is read by the last."""


def format_of(path: str) -> Format:
    """The format of a file, by its name.

    >>> [format_of(path).name for path in ("day_0.parquet", "day_0.tsv.gz", "training.log2")]
    ['Parquet', 'text', 'text']
    """
    return next((each for each in FORMATS if each.recognizes(path)), FORMATS[-1])


def find_files(path: str) -> tuple[list[str], Format]:
    """The files of a click log and their format; files of several formats are a ValueError."""
    files = list_files(path, lambda name: any(each.recognizes(name) for each in FORMATS))
    names = {format_of(file).name for file in files}
    kinds = [each for each in FORMATS if each.name in names]
    if len(kinds) > 1:
        found = " and ".join(each.name for each in kinds)
        raise ValueError(f"data.path {path!r} holds both {found} files; keep one kind")
    return files, kinds[0]
