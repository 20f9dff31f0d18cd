"""Click logs as a stream: rows → Batch(dense [B, I], sparse KeyedJaggedTensor, label [B])."""

from pipeline.data.batch import Batch
from pipeline.data.config import DataConfig
from pipeline.data.schema import Schema

__all__ = ["Batch", "DataConfig", "Schema"]
