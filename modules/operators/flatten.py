"""Sparse outputs as rows of numbers, vector by vector; both forms of a network (eager, scripted) call these.

B batch, n vectors, D embedding width.
"""

from torch import Tensor


def flattened(vectors: Tensor) -> Tensor:
    """[B, D, n] → [B, n · D], vector by vector: a part of the vectors is one range of the columns."""
    return vectors.transpose(1, 2).flatten(1)


def joined(
    dense: list[Tensor], sparse: list[Tensor], dense_inputs: list[int], sparse_inputs: list[int]
) -> list[Tensor]:
    """The chosen dense outputs, then the chosen sparse ones, flattened: the tensors of `Inputs.joined_columns`."""
    parts = [dense[i] for i in dense_inputs]
    for i in sparse_inputs:
        parts.append(flattened(sparse[i]))
    return parts


def flattened_stem(dense: list[Tensor], sparse: list[Tensor], stem_vectors: int) -> list[Tensor]:
    """The flattened stem x₀, as the tensors of `Inputs.stem_columns`: the integers where there are no stem vectors."""
    stem = flattened(sparse[0])
    return [stem] if stem_vectors > 0 else [dense[0], stem]
