"""A click model: embedding tables, then an interaction that makes a logit of dense inputs and embedding vectors.

B batch, I dense inputs, F fields, D embedding width.
"""

from typing import Any

from torch import Tensor, nn
from torchrec import KeyedJaggedTensor

from modules.embeddings import embed


class ClickModel(nn.Module):
    """Tables (an EmbeddingBagCollection, sharded or not) and an interaction (supernet, subnet or baseline)."""

    def __init__(self, embeddings: nn.Module, interaction: nn.Module) -> None:
        super().__init__()
        self.embeddings, self.interaction = embeddings, interaction

    def forward(self, dense: Tensor, sparse: KeyedJaggedTensor, *arguments: Any) -> Tensor:
        """Dense [B, I] and one id a field and row → logit [B]; a supernet also takes the architecture."""
        logit: Tensor = self.interaction(dense, embed(self.embeddings, sparse), *arguments)
        return logit
