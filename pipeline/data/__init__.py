"""Click logs as a stream: rows → Batch(dense [B, I], sparse KeyedJaggedTensor, label [B])."""

from pipeline.data.batch import Batch
from pipeline.data.config import DataConfig
from pipeline.data.dataset import Dataset, open_dataset
from pipeline.data.schema import Schema
from pipeline.data.stream import Stream

__all__ = ["Batch", "DataConfig", "Dataset", "Schema", "Stream", "open_dataset"]
