"""Smaller numbers for an exported model: tables in int8 or int4, with a scale and a bias a row, and a network in bf16.

Rows are quantized and looked up by FBGEMM's kernels that torch itself has (`torch.ops.quantized`), so that model.pt
still needs torch alone. A row is its codes, then scale and bias: 8 bits with two float32, 4 bits with two float16.

B batch, U pieces of width g that a row looks up, S trainings side by side in a row of the matrix, R rows of it.
"""

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.serving.model_protocol import Exportable
from pipeline.serving.names import DensePrecision, TablePrecision

Model = TypeVar("Model", bound=Exportable)

BITS: dict[TablePrecision, int] = {"fp32": 32, "int8": 8, "int4": 4}
"""Bits of a number of a table."""


def with_precision(model: Model, tables: TablePrecision, dense: DensePrecision) -> Model:
    """The model with its tables and its dense part in this precision; the model itself, which is fp32, stays."""
    narrowed: Any = copy.copy(model)  # a module, whose buffers and parts are its own from here on
    narrowed._buffers, narrowed._modules = dict(narrowed._buffers), dict(narrowed._modules)
    if tables != "fp32":
        narrowed.embeddings = quantized(model.embeddings.reshape(-1, model.width), tables)
    narrowed.table_bits = BITS[tables]
    if dense == "bf16":
        narrowed.interactions = nn.ModuleList(Bfloat16Interaction(one) for one in model.interactions)
    found: Model = narrowed.eval().requires_grad_(False)
    return found


def quantized(rows: Tensor, precision: TablePrecision) -> Tensor:
    """Rows [R, g] float32 → [R, bytes] uint8 (g + 8 bytes for int8, g / 2 + 4 for int4); fp32 stays as it is.

    The range of a row of int4 is the one that minimizes the row's squared error (FBGEMM's search), not all of it.
    """
    match precision:
        case "int8":
            found: Tensor = torch.ops.quantized.embedding_bag_byte_prepack(rows)
        case "int4":
            found = torch.ops.quantized.embedding_bag_4bit_prepack(rows, True)
        case "fp32":
            found = rows
    return found


def looked_up(embeddings: Tensor, places: Tensor, bits: int, trainings: int) -> Tensor:
    """Rows of the matrix at `places` [B, U] → [B, U, S · g] float32. TorchScript takes it."""
    if bits == 32:
        return nn.functional.embedding(places, embeddings)
    rows = (places.unsqueeze(2) * trainings + torch.arange(trainings)).reshape(-1)
    bags = torch.arange(rows.numel() + 1)  # each of one row
    if bits == 8:
        found = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
            embeddings, rows, bags, False, 0, False, None, None, True
        )
    else:
        found = torch.ops.quantized.embedding_bag_4bit_rowwise_offsets(
            embeddings, rows, bags, False, 0, False, None, None, True
        )
    return found.view(places.size(0), places.size(1), -1)


class Bfloat16Interaction(nn.Module):
    """An interaction that computes in bfloat16: but for the integers' standardization before it and the head's product
    at its end, whose rounding nothing would average out."""

    def __init__(self, network: nn.Module) -> None:
        """`network`: a `modules.supernet.Subnet`, which stays as it is."""
        super().__init__()
        own = copy.deepcopy(network)
        head: Any = own.head
        self.integers: Any = own.integers
        own.integers = nn.Identity()
        self.network = own.bfloat16()
        self.network.head = Float32Head(head.float())

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Dense [B, I], sparse [B, U, g], both float32 → logit [B] float32."""
        logit: Tensor = self.network(self.integers(dense).to(torch.bfloat16), sparse.to(torch.bfloat16))
        return logit


class Float32Head(nn.Module):
    """A head whose inputs are bfloat16 and whose product is float32."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Inputs [B, w_j] → [B, 1]."""
        product: Tensor = self.head([one.to(torch.float32) for one in inputs])
        return product
