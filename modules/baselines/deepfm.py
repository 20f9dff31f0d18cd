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
from torchrec.modules.deepfm import DeepFM as DeepBlock
from torchrec.modules.deepfm import FactorizationMachine
from torchrec.modules.mlp import MLP

from modules.baselines.baseline import STEM, Baseline, check_layer_sizes, perceptron
from modules.baselines.initialization import drawing_from
from modules.operators import InputShape, Step


@dataclass(frozen=True)
class DeepFM(Baseline):
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

    title = "DeepFM"

    def __post_init__(self) -> None:
        if self.crossing not in ("same_position", "all_pairs"):
            raise ValueError(f"DeepFM.crossing is {self.crossing!r}; choose all_pairs or same_position")
        check_layer_sizes("DeepFM.dense_units", (self.dense_units,))
        check_layer_sizes("DeepFM.deep_layers", self.deep_layers)
        if not self.deep_layers:
            raise ValueError("DeepFM.deep_layers is empty; the deep part needs at least one layer")

    def build(self, shape: InputShape, generator: torch.Generator | None = None) -> nn.Module:
        """The dense inputs' MLP, the deep part and the factorization machine, joined by one linear layer."""
        return DeepFMNetwork(shape, self, generator)

    def steps(self, shape: InputShape) -> tuple[Step, ...]:
        """The dense inputs' MLP, the deep part and, beside it, the factorization machine; then the logit's layer."""
        size, numbers = shape.embedding_width, (shape.fields + 1) * shape.embedding_width
        sizes = (shape.integers, self.dense_units, size)
        embedded = tuple(perceptron(["dense_arch.model.0", "dense_arch.model.2"], sizes, STEM[:1]))
        joined = (STEM[1], embedded[-1].name)
        names = [f"deep.dense_module._mlp.{layer}._linear" for layer in range(len(self.deep_layers))]
        deep = tuple(perceptron(names, (numbers, *self.deep_layers), joined))
        # ½ [(Σ x)² − Σ x²] over each of its rows: one for a sample, or D where numbers cross at one position only
        rows = size if self.crossing == "same_position" else 1
        machine = Step("crossing", joined, products=numbers + rows, elementwise_operations=2 * numbers + rows)
        parts = (embedded[-1].name, deep[-1].name, machine.name)
        over = perceptron(["over"], (size + self.deep_layers[-1] + 1, 1), parts)
        return (*embedded, *deep, machine, *over)


class DeepFMNetwork(nn.Module):
    """What DeepFM does between its embeddings and the logit."""

    def __init__(self, shape: InputShape, sizes: DeepFM, generator: torch.Generator | None) -> None:
        super().__init__()
        width = shape.embedding_width
        crossed = (shape.fields + 1) * width
        with drawing_from(generator):
            self.dense_arch = DenseArch(shape.integers, sizes.dense_units, width)
            self.deep = DeepBlock(MLP(crossed, list(sizes.deep_layers), activation="relu"))
            self.crossing = FactorizationMachine()
            self.over = nn.Linear(width + sizes.deep_layers[-1] + 1, 1)
        self.same_position = sizes.crossing == "same_position"

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """(dense [B, I], sparse [B, F, D]) -> logit [B]."""
        embedded_dense = self.dense_arch(dense)  # [B, D]
        vectors = torch.cat([embedded_dense.unsqueeze(1), sparse], dim=1)  # [B, n, D]
        parts = [embedded_dense, self.deep([vectors]), self._crossed(vectors)]
        return self.over(torch.cat(parts, dim=1)).squeeze(-1)

    def _crossed(self, vectors: Tensor) -> Tensor:
        """The factorization machine's output [B, 1]. torchrec's block sums over all that one of its rows holds."""
        if not self.same_position:
            return self.crossing([vectors])
        batch, count, width = vectors.shape
        positions = vectors.transpose(1, 2).reshape(batch * width, count)
        return self.crossing([positions]).reshape(batch, width).sum(dim=1, keepdim=True)
