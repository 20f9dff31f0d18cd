"""DeepFM (arXiv:1703.04247), put together from torchrec's deep and factorization-machine blocks.

B batch, I dense inputs, F categorical fields, D embedding width. The arrangement is torchrec.models.deepfm's
SimpleDeepFMNN: the dense inputs become one more D-vector; logit = linear([that vector, deep part, FM part]).
"""

from dataclasses import dataclass

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

    def __post_init__(self) -> None:
        check_layer_sizes("DeepFMConfig.dense_units", (self.dense_units,))
        check_layer_sizes("DeepFMConfig.deep_layers", self.deep_layers)
        if not self.deep_layers:
            raise ValueError("DeepFMConfig.deep_layers is empty; the deep part needs at least one layer")


class DeepFMInteraction(nn.Module):
    """What DeepFM does between its embeddings and the logit.

    torchrec's FactorizationMachine sums over the flattened F·D numbers, so its one output crosses every number with
    every other; the paper's crosses numbers of one position d only. This is torchrec's.
    """

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
        self.interaction_products = crossed + 1
        """Products a row of the factorization machine: every number's square and the square of their sum."""

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(dense [B, I], sparse [B, F, D]) -> logit [B]."""
        embedded_dense = self.dense_arch(dense)  # [B, D]
        vectors = [embedded_dense, sparse]
        parts = [embedded_dense, self.deep(vectors), self.factorization_machine(vectors)]
        return self.over(torch.cat(parts, dim=1)).squeeze(-1)
