"""model.pt2 and model.onnx: the exported model as a graph without control flow, for AOTInductor and for ONNX Runtime.

Both take what model.pt takes and give two outputs, probability and logit:

    model = torch._inductor.aoti_load_package("model.pt2")  # compiled for the processor of the machine that exported it
    probability, logit = model(dense, ids)  # [B, I] float32, [B, C] int64 -> [B] float32 each, B at least 1

A graph raises no errors: a row with an id outside its table has NaN for both, never what another table's row gives.

B batch, I dense inputs, C columns of ids, U pieces of width g that a row looks up, S trainings, R rows of all tables.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.serving.list_pooling import pooled
from pipeline.serving.model_protocol import Exportable
from pipeline.serving.names import FILES, FurtherFormat
from pipeline.serving.other_process import run_python

MOST_ROWS = 2**20
"""Largest batch that model.pt2 takes."""
OPSET = 20
"""ONNX operators' version."""
_WRITING = "import sys; from pipeline.serving.graph_formats import write_graph_file; write_graph_file(*sys.argv[1:])"


class GraphModel(nn.Module):
    """An exported model in operations that every format has; quantized rows are taken apart into codes and numbers."""

    codes: Tensor
    ranges: Tensor
    id_rows: Tensor
    lowest_ids: Tensor
    piece_fields: Tensor
    piece_steps: Tensor
    first_pieces: Tensor

    def __init__(self, model: Exportable) -> None:
        super().__init__()
        self.width, self.bits, self.interactions = model.width, model.table_bits, model.interactions
        self.trainings = len(model.interactions)
        self.has_lists, self.id_places, self.pieces = model.has_lists, model.id_places, model.pieces
        for name in ("lowest_ids", "piece_fields", "piece_steps", "first_pieces"):
            self.register_buffer(name, getattr(model, name))
        self.register_buffer("id_rows", model.table_rows[model.id_fields])
        codes, ranges = taken_apart(model.embeddings, model.width, model.table_bits)
        self.register_buffer("codes", codes.view(-1, self.trainings * codes.shape[1]) if self.bits < 32 else codes)
        self.register_buffer("ranges", ranges.view(-1, self.trainings, 2) if self.bits < 32 else ranges)

    def forward(self, dense: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(dense [B, I] float32, ids [B, C] int64) → probability [B], logit [B]; NaN where an id is outside."""
        outside = (ids < self.lowest_ids) | (ids >= self.id_rows)
        known = torch.where(outside, 0, ids).clamp(min=0)
        places = known[:, self.piece_fields] * self.piece_steps + self.first_pieces  # [B, U]
        sparse = self._looked_up(places)  # [B, U, S, g]
        if self.has_lists:
            joined = pooled(sparse.flatten(2), torch.where(outside, 0, ids), self.id_places, self.pieces)
            sparse = joined.reshape(*joined.shape[:2], self.trainings, self.width)
        logit = torch.zeros_like(dense[:, 0])
        for number, interaction in enumerate(self.interactions):
            logit = logit + interaction(dense, sparse[:, :, number].contiguous())
        logit = torch.where(outside.any(1), torch.nan, logit / self.trainings)
        return torch.sigmoid(logit), logit

    def _looked_up(self, places: Tensor) -> Tensor:
        """Rows at `places` [B, U] → [B, U, S, g] float32."""
        codes = nn.functional.embedding(places, self.codes)
        if self.bits == 4:  # two codes a byte, the first in the lower half; ONNX shifts no bytes
            upper = torch.floor(codes.float() / 16)
            codes = torch.stack([codes.float() - 16 * upper, upper], dim=-1)
        values = codes.reshape(*places.shape, self.trainings, self.width)
        if self.bits == 32:
            return values
        ranges = nn.functional.embedding(places, self.ranges.flatten(1)).float()
        ranges = ranges.reshape(*places.shape, self.trainings, 2)
        return values.float() * ranges[..., :1] + ranges[..., 1:]


def taken_apart(embeddings: Tensor, width: int, bits: int) -> tuple[Tensor, Tensor]:
    """Quantized rows [R, bytes] → codes [R, g or g / 2] uint8, and scale and bias [R, 2]; fp32 rows, nothing."""
    if bits == 32:
        return embeddings, embeddings.new_empty(0)
    codes = width * bits // 8
    numbers = embeddings[:, codes:].contiguous().view(torch.float32 if bits == 8 else torch.float16)
    return embeddings[:, :codes].contiguous(), numbers


def check_compiler(formats: tuple[FurtherFormat, ...]) -> None:
    """Raises ValueError where a format needs a C++ compiler and there is none."""
    compiler = os.environ.get("CXX", "g++")
    if "pt2" in formats and shutil.which(compiler) is None:
        raise ValueError(
            f"export.formats has pt2, which AOTInductor compiles with {compiler}, and there is none; install it, name "
            "another compiler in CXX, or leave pt2 out"
        )


@contextlib.contextmanager
def graph_file(model: Exportable, folder: Path, kind: FurtherFormat) -> Iterator[Path]:
    """Yields the model as a file of this format, in a folder beside those of the export that goes when the block ends.

    It is written by a process of its own: AOTInductor leaves processes and memory behind. Raises RuntimeError with the
    end of what that process said if it fails.
    """
    with tempfile.TemporaryDirectory(prefix=f"{FILES[kind]}.tmp-", dir=folder) as own:
        source, made = f"{own}/graph_model.pt", f"{own}/{FILES[kind]}"
        torch.save(GraphModel(model).eval().requires_grad_(False), source)
        environment = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": "0"}
        example = str(model.integers), str(len(model.id_fields))
        run_python(["-W", "ignore", "-c", _WRITING, source, made, kind, *example], environment, f"writing {kind}")
        os.unlink(source)
        yield Path(made)


def write_graph_file(source: str, target: str, kind: str, integers: str, columns: str) -> None:
    """Export the pickled module in `source` to `target`. Run in a process of its own by `graph_file`."""
    model = torch.load(source, weights_only=False)
    example = torch.rand(3, int(integers)), torch.zeros(3, int(columns), dtype=torch.int64)
    batch = torch.export.Dim("batch", min=1, max=MOST_ROWS)
    with torch.no_grad():
        program = torch.export.export(model, example, dynamic_shapes=({0: batch}, {0: batch}))
        if kind == "pt2":
            torch._inductor.aoti_compile_and_package(program, package_path=target)
            return
        written = torch.onnx.export(
            program,
            example,
            input_names=["dense", "ids"],
            output_names=["probability", "logit"],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert written is not None, "torch.onnx gives a program where it writes no file"
    written.save(target)
