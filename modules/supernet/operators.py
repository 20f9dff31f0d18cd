"""The operators and mergers of a choice block, each its formula in search_space.md.

B batch, D embedding width, d dense output width, n sparse output vectors, m input vectors, k = round(√(2d)).
Dense tensors are [B, d]; sparse tensors are [B, D, n], the field axis last, so that a linear over fields is a plain
one. Every operator is handed all earlier outputs and picks its inputs; LN(x) is `norm`, W x is `project`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.supernet.kernels import attention
from modules.supernet.layers import Layer


class FullyConnected(nn.Module):
    """ReLU(LN(W x))."""

    def __init__(self, inputs: list[int], project: Layer, norm: Layer) -> None:
        super().__init__()
        self.inputs, self.project, self.norm = inputs, project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        x = self.norm(self.project([dense[i] for i in self.inputs]))
        return x.relu_()


class DotProduct(nn.Module):
    """LN(W [x, inner products of the k + 1 vectors x, y_1 … y_k]), x and y normed projections of the inputs."""

    def __init__(
        self,
        dense_inputs: list[int],
        sparse_inputs: list[int],
        project_dense: Layer,
        norm_dense: Layer,
        project_fields: Layer,
        norm_fields: Layer,
        project: Layer,
        norm: Layer,
    ) -> None:
        super().__init__()
        self.dense_inputs, self.sparse_inputs = dense_inputs, sparse_inputs
        self.project_dense, self.norm_dense = project_dense, norm_dense
        self.project_fields, self.norm_fields = project_fields, norm_fields
        self.project, self.norm = project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        x = self.norm_dense(self.project_dense([dense[i] for i in self.dense_inputs]))  # [B, D]
        y = self.norm_fields(self.project_fields([sparse[i] for i in self.sparse_inputs]))  # [B, D, k]
        vectors = torch.cat([x.unsqueeze(2), y], dim=2)  # [B, D, k + 1]
        products = torch.bmm(vectors.transpose(1, 2), vectors)  # [B, k + 1, k + 1]
        size = products.shape[1]
        row, column = torch.tril_indices(size, size, -1, device=x.device).unbind(0)
        pairs = products.flatten(1).index_select(1, row * size + column)  # [B, k(k + 1)/2]
        return self.norm(self.project([x, pairs]))


class SigmoidGating(nn.Module):
    """LN(W (right · σ(V left + c))), both padded with zeros to the wider.

    Where right is padding the product is zero whatever the gate, so only right's width r is computed.
    """

    def __init__(self, left: int, right: int, gate: Layer, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.left, self.right = left, right
        self.gate, self.project, self.norm = gate, project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        gated = dense[self.right] * torch.sigmoid(self.gate([dense[self.left]]))  # [B, r]
        return self.norm(self.project([gated]))


class Sum(nn.Module):
    """LN(W (left + right)), both padded with zeros to the wider."""

    def __init__(self, left: int, right: int, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.left, self.right = left, right
        self.project, self.norm = project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, d]."""
        left, right = dense[self.left], dense[self.right]
        width = max(left.shape[1], right.shape[1])
        total = functional.pad(left, [0, width - left.shape[1]]) + functional.pad(right, [0, width - right.shape[1]])
        return self.norm(self.project([total]))


class EmbeddedFullyConnected(nn.Module):
    """EFC: ReLU(LN(W X)), linear over the field axis."""

    def __init__(self, inputs: list[int], project: Layer, norm: Layer) -> None:
        super().__init__()
        self.inputs, self.project, self.norm = inputs, project, norm

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        x = self.norm(self.project([sparse[i] for i in self.inputs]))
        return x.relu_()


class Attention(nn.Module):
    """A transformer layer over n projected fields: X = LN(W X); X = LN(X + MHA(X)); X = LN(X + FC(ReLU(FC(X))))."""

    def __init__(
        self,
        inputs: list[int],
        heads: int,
        project: Layer,
        norm: Layer,
        query_key_value: Layer,
        output: Layer,
        norm_attention: Layer,
        expand: Layer,
        contract: Layer,
        norm_output: Layer,
    ) -> None:
        super().__init__()
        self.inputs, self.heads = inputs, heads
        self.project, self.norm = project, norm
        self.query_key_value, self.output, self.norm_attention = query_key_value, output, norm_attention
        self.expand, self.contract, self.norm_output = expand, contract, norm_output

    def forward(self, dense: list[Tensor], sparse: list[Tensor]) -> Tensor:
        """→ [B, D, n]."""
        fields = self.norm(self.project([sparse[i] for i in self.inputs]))  # [B, D, n]
        x = fields.transpose(1, 2).contiguous()  # [B, n, D]: the fields are the tokens
        x = self.norm_attention(x + self.output([self.attend(x)]))
        x = self.norm_output(x + self.contract([self.expand([x]).relu_()]))
        return x.transpose(1, 2).contiguous()

    def attend(self, x: Tensor) -> Tensor:
        """Multi-head self-attention before its output projection: [B, n, D] → [B, n, D]."""
        query_key_value = self.query_key_value([x])  # [B, n, 3 D]
        if not torch.jit.is_scripting():
            return attention(query_key_value, self.heads)
        batch, tokens, width = x.shape
        split = query_key_value.view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each [B, heads, n, D / heads]
        attended = functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).reshape(batch, tokens, width)


class DenseToSparse(nn.Module):
    """LN(W x) as 8 more sparse vectors."""

    def __init__(self, vectors: int, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.vectors = vectors
        self.project, self.norm = project, norm

    def forward(self, dense: Tensor) -> Tensor:
        """[B, d] → [B, D, 8]."""
        x = self.norm(self.project([dense]))  # [B, 8 D]
        return x.view(x.shape[0], x.shape[1] // self.vectors, self.vectors)


class FactorizationMachine(nn.Module):
    """LN(W ((Σ_i v_i)² − Σ_i v_i²)): all pairwise products of the sparse vectors, merged into the dense output."""

    def __init__(self, project: Layer, norm: Layer) -> None:
        super().__init__()
        self.project, self.norm = project, norm

    def forward(self, sparse: Tensor) -> Tensor:
        """[B, D, n] → [B, d]."""
        pairs = sparse.sum(2).square() - sparse.square().sum(2)  # [B, D]
        return self.norm(self.project([pairs]))
