"""Click logs as streams of batches: Batch(dense [B, I], sparse KeyedJaggedTensor of F fields, label [B]).

The way of a row from its file to a batch, with the file of this package that each step is in:

    a file of a click log, local or in a store
      │  storage/paths.py          lists and opens it (storage/remote.py: stores, storage/retry.py: errors that pass)
      │  formats/all_formats.py    chooses its format by its name
      ▼
    a reader with units: Parquet row groups or blocks of lines        formats/reader.py: what every format offers
      │  formats/parquet.py        raw columns or, as written by prepare, model inputs (formats/prepared.py)
      │  formats/text.py           bytes (text_files.py) → units (text_units.py) → columns of good lines (text_lines.py)
      │  formats/features.py       raw columns → dense values, table rows (ids), labels
      │  formats/lists.py          lists → as many columns of ids as they keep, -1 where they have fewer
      ▼
    rows of a unit
      │  splits.py                 which of them train, validate or test (time_split.py: by formats/times.py's times)
      │  stream/position.py        which of them each rank gets at each step, and where a resumed run continues
      │  stream/batch_stream.py    in which order: the Stream, which the training loop iterates over
      │  stream/read_ahead.py      read before they are due and cut into batches, in a thread (stream/background.py)
      ▼
    batch.py: the Batch

dataset.py opens all of this for config.py's settings and schema.py's columns; generate/ writes the click log that is
used without a path; prepare/ turns raw text into Parquet of model inputs once, instead of in every epoch.

The names are imported when first used: TorchRec takes seconds to import, and programs that only write files do without.
"""

from typing import TYPE_CHECKING

from modules.lazy import imported_on_use

if TYPE_CHECKING:
    from pipeline.data.batch import Batch
    from pipeline.data.config import DataConfig
    from pipeline.data.dataset import Dataset, open_dataset
    from pipeline.data.schema import Schema
    from pipeline.data.stream.batch_stream import Stream

__all__ = ["Batch", "DataConfig", "Dataset", "Schema", "Stream", "open_dataset"]

__getattr__ = imported_on_use(
    __name__,
    {
        "pipeline.data.batch": ("Batch",),
        "pipeline.data.config": ("DataConfig",),
        "pipeline.data.dataset": ("Dataset", "open_dataset"),
        "pipeline.data.schema": ("Schema",),
        "pipeline.data.stream.batch_stream": ("Stream",),
    },
)
