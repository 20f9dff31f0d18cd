"""DeepFM (arXiv:1703.04247), put together from torchrec's deep and factorization-machine blocks.

B batch, I dense inputs, F categorical fields, D embedding width, n = F + 1 vectors of them. The arrangement is
torchrec.models.deepfm's SimpleDeepFMNN: the dense inputs become one more D-vector; logit = linear([that vector, deep
part, factorization machine]).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torchrec.models.deepfm import DenseArch
from torchrec.modules.deepfm import DeepFM, FactorizationMachine
from torchrec.modules.mlp import MLP

from modules.baselines.dlrm import check_layer_sizes
from modules.baselines.initialization import drawing_from
from modules.space import InputShape


@dataclass(frozen=True)
class DeepFMConfig:
    """Layer sizes."""

    dense_units: int = 400
    """Hidden units between the dense inputs and their D-vector, at least 1."""
    deep_layers: tuple[int, ...] = (400, 400, 400)
    """Units of the deep part's layers, at least one layer. The default is the paper's for Criteo (section 3.1);
    SimpleDeepFMNN has one layer."""
    crossing: Literal["same_position", "all_pairs"] = "same_position"
    """What the factorization machine multiplies. `same_position`: the paper's ½ Σ_d [(Σ_i v_id)² − Σ_i v_id²].
    `all_pairs`: SimpleDeepFMNN's, every number of the n · D with every other, which trains badly (DECISIONS.md) and
    would be too easy to beat."""

    def __post_init__(self) -> None:
        if self.crossing not in ("same_position", "all_pairs"):
            raise ValueError(f"DeepFMConfig.crossing is {self.crossing!r}; choose all_pairs or same_position")
        check_layer_sizes("DeepFMConfig.dense_units", (self.dense_units,))
        check_layer_sizes("DeepFMConfig.deep_layers", self.deep_layers)
        if not self.deep_layers:
            raise ValueError("DeepFMConfig.deep_layers is empty; the deep part needs at least one layer")


class DeepFMInteraction(nn.Module):
    """What DeepFM does between its embeddings and the logit."""

    def __init__(
        self, shape: InputShape, config: DeepFMConfig = DeepFMConfig(), generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        width = shape.embedding_width
        crossed = (shape.fields + 1) * width
        with drawing_from(generator):
            self.dense_arch = DenseArch(shape.integers, config.dense_units, width)
            self.deep = DeepFM(MLP(crossed, list(config.deep_layers), activation="relu"))
            self.factorization_machine = FactorizationMachine()
            self.over = nn.Linear(width + config.deep_layers[-1] + 1, 1)
        self.same_position = config.crossing == "same_position"
        self.interaction_products = crossed + (width if self.same_position else 1)
        """Products a row of the factorization machine: every number's square and the squares of their sums."""

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(dense [B, I], sparse [B, F, D]) -> logit [B]."""
        embedded_dense = self.dense_arch(dense)  # [B, D]
        vectors = torch.cat([embedded_dense.unsqueeze(1), sparse], dim=1)  # [B, n, D]
        parts = [embedded_dense, self.deep([vectors]), self._crossed(vectors)]
        return self.over(torch.cat(parts, dim=1)).squeeze(-1)

    def _crossed(self, vectors: Tensor) -> Tensor:
        """The factorization machine's output [B, 1]. torchrec's block sums over all that one of its rows holds."""
        if not self.same_position:
            return self.factorization_machine([vectors])
        batch, count, width = vectors.shape
        positions = vectors.transpose(1, 2).reshape(batch * width, count)
        return self.factorization_machine([positions]).reshape(batch, width).sum(dim=1, keepdim=True)
