"""Names of what an export can be: settings are read without torch."""

from dataclasses import dataclass
from typing import Literal

TablePrecision = Literal["fp32", "int8", "int4"]
"""How a number of a table is held; int8 and int4 with a scale and a bias for each row."""

DensePrecision = Literal["fp32", "bf16"]
"""What the network computes in."""

FurtherFormat = Literal["pt2", "onnx"]
"""A file beside model.pt: torch.export compiled by AOTInductor, or ONNX."""

FileFormat = Literal["torchscript", "pt2", "onnx"]
"""What a file of an export is."""

FILES: dict[FileFormat, str] = {"torchscript": "model.pt", "pt2": "model.pt2", "onnx": "model.onnx"}
"""The file of each format."""


@dataclass(frozen=True)
class ExportFiles:
    """Which files are written of a model, and in what precision."""

    tables: TablePrecision = "fp32"
    """Of the tables, in every file."""
    dense: DensePrecision = "fp32"
    """Of the network, in every file."""
    further: tuple[FurtherFormat, ...] = ()
    """Files beside model.pt."""
    mapped: bool = False
    """Whether the tables are a file of their own, which is mapped where the model is served."""

    @property
    def formats(self) -> tuple[FileFormat, ...]:
        """Of all files, model.pt first."""
        return ("torchscript", *self.further)
