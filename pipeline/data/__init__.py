"""Click logs as a stream: rows → Batch(dense [B, I], sparse KeyedJaggedTensor, label [B]).

The names are imported when first used: TorchRec takes seconds to import, and programs that only write files do without.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.data.batch import Batch
    from pipeline.data.config import DataConfig
    from pipeline.data.dataset import Dataset, open_dataset
    from pipeline.data.schema import Schema
    from pipeline.data.stream.batch_stream import Stream

__all__ = ["Batch", "DataConfig", "Dataset", "Schema", "Stream", "open_dataset"]

_HOMES = {
    "Batch": "batch",
    "DataConfig": "config",
    "Dataset": "dataset",
    "Schema": "schema",
    "Stream": "stream.batch_stream",
    "open_dataset": "dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
