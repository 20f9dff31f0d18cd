"""The mean of a list's vectors in an exported model: plain tensors that TorchScript compiles.

B batch, F fields, C columns of ids; U pieces that a row looks up where each field has one id, U' where each column has
one, W width of a piece.
"""

import torch
from torch import Tensor


def pooled(vectors: Tensor, ids: Tensor, id_places: list[int], pieces: list[int]) -> Tensor:
    """[B, U', W] → [B, U, W]: the vectors of each field's columns averaged, without those whose id [B, C] is negative.

    `id_places`: columns of each field [F]; `pieces`: that a row of its table is made of [F]. Each field has an id.
    """
    fields: list[Tensor] = []
    column, start = 0, 0
    for field in range(len(id_places)):
        places, count = id_places[field], pieces[field]
        own = vectors[:, start : start + places * count]  # [B, places · count, W]
        if places > 1:
            there = (ids[:, column : column + places] >= 0).to(vectors.dtype).unsqueeze(2)  # [B, places, 1]
            each = own.reshape(own.size(0), places, count * own.size(2)) * there
            own = (each.sum(1) / there.sum(1)).reshape(own.size(0), count, own.size(2))
        fields.append(own)
        column += places
        start += places * count
    return torch.cat(fields, 1)
