"""The unit of training: dense features, ids by categorical field, labels; TorchRec-pipelineable.

Shapes: B batch, I integers (1 without any), F fields, C ids that a row has room for: F without lists.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor
from torchrec.streamable import Pipelineable


@dataclasses.dataclass
class Batch(Pipelineable):
    """Rows of a click log as tensors."""

    dense: torch.Tensor
    """[B, max(I, 1)] float32. A stream's lies column by column, as it was read: interleaving takes 7 ns per row."""
    sparse: KeyedJaggedTensor
    """Ids, field after field and row after row, and how many each has: exactly one per field and row (values [F * B],
    lengths all one) but for lists, which have one or more. A stream's are int32, as those of torchrec.datasets.criteo
    are: half to copy and to exchange, and the lookup itself makes them int64."""
    label: torch.Tensor
    """[B] float32, 0 or 1."""
    weight: torch.Tensor | None = None
    """[B] float32, above 0: what each row counts for; None where all count the same."""

    @classmethod
    def of_ids(
        cls,
        dense: torch.Tensor,
        ids: torch.Tensor,
        label: torch.Tensor,
        keys: Sequence[str],
        lengths: torch.Tensor | None = None,
        weight: torch.Tensor | None = None,
    ) -> "Batch":
        """Builds the KeyedJaggedTensor from ids [F, B] (field-major); `lengths`: ones [F * B] made before.

        >>> ids = torch.tensor([[1, 2, 3], [4, 5, 6]])  # F = 2 fields of B = 3 rows
        >>> Batch.of_ids(torch.ones(3, 1), ids, torch.zeros(3), ["user", "item"]).ids
        tensor([[1, 4],
                [2, 5],
                [3, 6]])
        """
        fields, rows = ids.shape
        if lengths is None:
            lengths = torch.ones(fields * rows, dtype=torch.int32)
        sparse = KeyedJaggedTensor(keys=list(keys), values=ids.reshape(-1), lengths=lengths, stride=rows)
        return cls(dense, sparse, label, weight)

    @classmethod
    def of_lists(
        cls,
        dense: torch.Tensor,
        ids: torch.Tensor,
        label: torch.Tensor,
        keys: Sequence[str],
        id_places: Sequence[int],
        weight: torch.Tensor | None = None,
    ) -> "Batch":
        """Builds the KeyedJaggedTensor from ids [C, B], of which `id_places` [F] belong to each field; negative ones
        are left out.

        >>> ids = torch.tensor([[1, 2], [3, 4], [5, -1]])  # the second field is a list of two places
        >>> sparse = Batch.of_lists(torch.ones(2, 1), ids, torch.zeros(2), ["user", "genres"], [1, 2]).sparse
        >>> sparse["genres"].values().tolist(), sparse["genres"].lengths().tolist()
        ([3, 5, 4], [2, 1])
        """
        rows = ids.shape[1]
        values, lengths = list[torch.Tensor](), torch.ones((len(keys), rows), dtype=torch.int32)
        for field, own in enumerate(ids.split(list(id_places))):  # [its places, B]
            if len(own) == 1:
                values.append(own[0])
                continue
            present = own >= 0
            lengths[field] = present.sum(dim=0, dtype=torch.int32)
            values.append(own.t()[present.t()])
        sparse = KeyedJaggedTensor(keys=list(keys), values=torch.cat(values), lengths=lengths.reshape(-1), stride=rows)
        return cls(dense, sparse, label, weight)

    @property
    def ids(self) -> torch.Tensor:
        """Ids as [B, F] int64, of a batch without lists."""
        return self.sparse.values().view(len(self.sparse.keys()), self.num_rows).t().long()

    def padded_ids(self, id_places: Sequence[int]) -> torch.Tensor:
        """Ids as [B, C] int64, absent ones -1: what `of_lists` was given."""
        if all(places == 1 for places in id_places):
            return self.ids
        fields = [
            self.sparse[key].to_padded_dense(places, padding_value=-1)
            for key, places in zip(self.sparse.keys(), id_places, strict=True)
        ]
        return torch.cat(fields, dim=1).long()

    @property
    def num_rows(self) -> int:
        """B."""
        return self.label.shape[0]

    def to(self, device: torch.device, non_blocking: bool = False) -> "Batch":
        """The batch on another device."""
        return Batch(
            self.dense.to(device=device, non_blocking=non_blocking),
            self.sparse.to(device=device, non_blocking=non_blocking),
            self.label.to(device=device, non_blocking=non_blocking),
            None if self.weight is None else self.weight.to(device=device, non_blocking=non_blocking),
        )

    def record_stream(self, stream: torch.Stream) -> None:
        """Marks the memory as used by a CUDA stream."""
        self.dense.record_stream(stream)
        self.sparse.record_stream(stream)
        self.label.record_stream(stream)
        if self.weight is not None:
            self.weight.record_stream(stream)

    def pin_memory(self) -> "Batch":
        """The batch in page-locked memory, from which copies to a GPU overlap with work."""
        weight = None if self.weight is None else self.weight.pin_memory()
        return Batch(self.dense.pin_memory(), self.sparse.pin_memory(), self.label.pin_memory(), weight)
