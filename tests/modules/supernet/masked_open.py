"""The oracle of the open space: every network at full width, what it does not have as zeros, as formulas.

It shares nothing with the engine but the names of the parameters and the order of the columns. A dense output is as
wide as the widest of its block, a sparse one has the merger's vectors, then the most vectors of its block.

B batch, I integers, F fields, D embedding width, V the most vectors of a stem, W and N the widest dense and sparse
outputs.
"""

import math

import torch
from torch.nn.functional import pad, silu

MERGED = 8


class MaskedOpen:
    """logit = masked(dense [B, I], sparse [B, F, D], architecture), on a supernet's full parameters."""

    def __init__(self, space, shape, parameters):
        self.space, self.shape, self.parameters = space, shape, parameters
        self.vectors = max(stem.vectors for stem in space.stems)
        self.sparse_width = max(space.sparse_widths[-1], shape.fields + self.vectors)
        most_pairs = max(count * (count - 1) // 2 for count in (32, shape.fields + self.vectors))
        self.dense_width = max(space.dense_widths[-1], shape.embedding_width, most_pairs)
        self.used = set()

    def __call__(self, dense, sparse, architecture):
        """The logit [B]."""
        size = self.shape.embedding_width
        self.set_stem(dense, sparse.transpose(1, 2), architecture.stem)
        dense_outputs = [self.stem_slot]  # each [B, its slot]
        sparse_outputs = [self.widened(self.stem, self.shape.fields + self.vectors)]  # each [B, D, its slot]
        self.narrow = [self.dense_stem]  # each [B, its own width]
        for number, self.block in enumerate(architecture.blocks):
            self.path = f"blocks.{number}"
            self.dense_outputs, self.sparse_outputs = dense_outputs, sparse_outputs
            (dense_operator,), (sparse_operator,) = self.block.dense_operators, self.block.sparse_operators
            self.where, self.operator = f"{self.path}.dense.{dense_operator.name}", dense_operator
            one = getattr(self, dense_operator.name)()
            self.where, self.operator = f"{self.path}.sparse.{sparse_operator.name}", sparse_operator
            other = getattr(self, sparse_operator.name)()  # [B, D, n]
            merged = other.new_zeros(len(dense), size, MERGED)
            self.where = self.path
            if self.block.dense_to_sparse:
                made = self.layer("dense_to_sparse.project", self.widened(one, self.dense_width))
                merged = self.normed(made, "dense_to_sparse.norm").view(len(dense), size, MERGED)
            if self.block.sparse_to_dense:
                pairs = other.sum(2).square() - other.square().sum(2)
                made = self.layer("sparse_to_dense.project", pairs)[:, : one.shape[1]]
                one = one + self.normed(made, "sparse_to_dense.norm")
            self.narrow.append(one)
            dense_outputs = [*dense_outputs, self.widened(one, self.dense_width)]
            sparse_outputs = [*sparse_outputs, torch.cat([merged, self.widened(other, self.sparse_width)], 2)]
        return self.logit(dense_outputs, sparse_outputs, architecture.logit)

    def set_stem(self, integers, fields, stem):
        """Dense output 0 on its own and in its slot, and the vectors of sparse output 0 [B, D, F + V]."""
        size, x = self.shape.embedding_width, integers
        self.dense_stem, self.stem, self.where = integers, fields, "stem"
        self.integers = integers if not stem.vectors else torch.zeros_like(integers)
        if stem.vectors:
            for place, width in enumerate(stem.hidden):
                x = self.layer(f"layers.hidden_{place}", x, bias=True)[:, :width].relu()
            x = self.layer(f"layers.vectors_{len(stem.hidden)}", x, bias=True)[:, : stem.vectors * size]
            self.dense_stem = {"none": x, "relu": x.relu(), "silu": silu(x)}[stem.activation]
            self.stem = torch.cat([fields, self.dense_stem.unflatten(1, (stem.vectors, size)).transpose(1, 2)], 2)
        vectors = self.dense_stem if stem.vectors else integers.new_zeros(len(integers), 0)
        self.stem_slot = torch.cat([self.integers, self.widened(vectors, self.vectors * size)], 1)

    def logit(self, dense_outputs, sparse_outputs, head):
        """One linear layer over all outputs of all blocks that there can be."""
        missing = self.space.num_blocks + 1 - len(dense_outputs)
        batch, size = len(self.stem), self.shape.embedding_width
        dense_outputs = dense_outputs + [self.stem.new_zeros(batch, self.dense_width)] * missing
        sparse_outputs = sparse_outputs + [self.stem.new_zeros(batch, size, MERGED + self.sparse_width)] * missing
        read = [self.joined(dense_outputs, head.dense), flat(self.joined(sparse_outputs, head.sparse))]
        self.where = "head"
        return self.layer("", torch.cat(read, 1), bias=True).squeeze(1)

    def parameter(self, name, kind="weight"):
        """A full parameter of the current operator."""
        path = f"{self.where}.{name}.{kind}" if name else f"{self.where}.{kind}"
        self.used.add(path)
        return self.parameters[path]

    def layer(self, name, x, bias=False):
        """x Wᵀ (+ b) with the full matrix; zeros behind x."""
        weight = self.parameter(name)
        return self.widened(x, weight.shape[1]) @ weight.T + (self.parameter(name, "bias") if bias else 0)

    def widened(self, x, width):
        """Zeros behind, up to this width."""
        assert x.shape[-1] <= width
        return pad(x, (0, width - x.shape[-1]))

    def normed(self, x, name):
        """Layer norm over what is there, with the first scales and shifts."""
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        return scaled * self.parameter(name)[: x.shape[-1]] + self.parameter(name, "bias")[: x.shape[-1]]

    def joined(self, outputs, chosen):
        """All outputs side by side, those not chosen as zeros."""
        return torch.cat([x if index in chosen else torch.zeros_like(x) for index, x in enumerate(outputs)], -1)

    def dense_inputs(self):
        """[B, all earlier slots]."""
        return self.joined(self.dense_outputs, self.block.dense_inputs)

    def sparse_inputs(self):
        """[B, D, all earlier slots]."""
        return self.joined(self.sparse_outputs, self.block.sparse_inputs)

    def flattened_stem(self):
        """[B, I + (F + V) D]."""
        return torch.cat([self.integers, flat(self.sparse_outputs[0])], 1)

    def ending(self, x):
        """Norm and activation, by the operator's options."""
        x = self.normed(x, "norm") if self.operator.norm else x
        return {"none": x, "relu": x.relu(), "silu": silu(x)}[self.operator.activation]

    def projected(self, x):
        """The block's d numbers from the layer `project`."""
        biased = hasattr(self.operator, "norm") and not self.operator.norm
        return self.layer("project", x, biased)[:, : self.block.dense_width]

    def fc(self):
        """act(LN(W [x, flattened X, flattened P X]))."""
        operator, x, fields = self.operator, self.dense_inputs(), self.sparse_inputs()
        x = x * (operator.sides != "sparse")
        raw = flat(fields) * (operator.sides != "dense" and not operator.fields)
        parts = [x, raw]
        if operator.fields and operator.sides != "dense":
            parts.append(flat(self.layer("project_fields", fields)[:, :, : operator.fields]))
        return self.ending(self.projected(torch.cat(parts, 1)))

    def dot_product(self):
        """act(LN(W [x, pairs of the stem's vectors, pairs of P X]))."""
        operator, stem = self.operator, pairs(self.sparse_outputs[0])
        parts = [self.dense_inputs(), stem * (not operator.fields)]
        if operator.fields:
            parts.append(pairs(self.layer("project_fields", self.sparse_inputs())[:, :, : operator.fields]))
        return self.ending(self.projected(torch.cat(parts, 1)))

    def pair_products(self):
        """Pairs of the stem's vectors or of P X, normed or not."""
        operator, vectors, name = self.operator, self.stem, "norm"
        if operator.fields:
            projected = self.layer("project_fields", self.sparse_inputs())
            vectors, name = projected[:, :, : operator.fields], "norm_projected"
        return self.normed(pairs(vectors), name) if operator.norm else pairs(vectors)

    def factorized_product(self):
        """act(LN((V x + c) ⊙ (W x + b) + residual))."""
        operator, d = self.operator, self.block.dense_width
        x = torch.cat(
            [self.flattened_stem() * (operator.source != "dense"), self.dense_inputs() * (operator.source != "stem")], 1
        )
        left, right = (self.layer(side, x, bias=True)[:, :d] for side in ("left", "right"))
        residual = left if operator.residual == "left" else self.layer("residual", x)[:, :d]
        return self.ending(left * right + residual)

    def mask_block(self):
        """act(LN(W (mask ⊙ h))), a mask for each part of h."""
        operator, size = self.operator, self.shape.embedding_width
        hidden = self.layer("aggregate", self.flattened_stem(), bias=True)[:, : operator.hidden].relu()
        start = flat(self.sparse_outputs[0])
        parts = [torch.zeros_like(start), *map(torch.zeros_like, self.dense_outputs)]
        if operator.source != "dense":
            each = [self.normed(self.stem[:, :, i], f"vectors.{i}.norm") for i in range(self.stem.shape[2])]
            normed = self.widened(torch.cat(each, 1), (self.shape.fields + self.vectors) * size)
            parts[0] = normed * self.layer("masks.stem.project", hidden, bias=True)
        if operator.source != "stem":
            for source in self.block.dense_inputs:
                mask = self.layer(f"masks.dense_{source}.project", hidden, bias=True)
                first = self.shape.integers if source == 0 and self.stem.shape[2] > self.shape.fields else 0
                own = self.narrow[source] * mask[:, : self.narrow[source].shape[1]]
                width = self.dense_outputs[source].shape[1]
                parts[source + 1] = pad(own, (first, width - first - own.shape[1]))
        return self.ending(self.projected(torch.cat(parts, 1)))

    def bilinear_fusion(self):
        """b + w₁ᵀ x + w₂ᵀ y + Σ_h x_hᵀ W_h y_h."""
        left, right, heads = self.narrow[self.block.left], self.narrow[self.block.right], self.operator.heads
        total = self.layer("left", left, bias=True) + self.layer("right", right)
        for head, (x, y) in enumerate(zip(left.tensor_split(heads, 1), right.tensor_split(heads, 1), strict=True)):
            if x.shape[1] and y.shape[1]:
                weight = self.parameter(f"heads.{head}.project")
                total = total + torch.einsum("bi,ij,bj->b", x, weight[: x.shape[1], : y.shape[1]], y)[:, None]
        return total

    def factorization_machine(self):
        """½ ((Σ v)² − Σ v²)."""
        vectors = self.sparse_inputs()
        return (vectors.sum(2).square() - vectors.square().sum(2)) / 2

    def sigmoid_gating(self):
        """LN(W (right ⊙ σ(V left + c))) on operands without their slots."""
        left, right = self.narrow[self.block.left], self.narrow[self.block.right]
        gate = self.layer("gate", left, bias=True)[:, : right.shape[1]].sigmoid()
        return self.normed(self.projected(right * gate), "norm")

    def sum(self):
        """LN(W (left + right))."""
        left, right = self.narrow[self.block.left], self.narrow[self.block.right]
        width = max(left.shape[1], right.shape[1])
        return self.normed(self.projected(self.widened(left, width) + self.widened(right, width)), "norm")

    def efc(self):
        """ReLU(LN(W X))."""
        return self.normed(self.layer("project", self.sparse_inputs())[:, :, : self.block.sparse_width], "norm").relu()

    def attention(self):
        """A transformer layer on the n projected vectors."""
        fields = self.normed(self.layer("project", self.sparse_inputs())[:, :, : self.block.sparse_width], "norm")
        x = fields.transpose(1, 2)  # [B, n, D]
        heads = max(count for count in range(1, 9) if self.shape.embedding_width % count == 0)
        attended = attention(self.layer("query_key_value", x, bias=True), heads)
        x = self.normed(x + self.layer("output", attended, bias=True), "norm_attention")
        hidden = self.layer("expand", x, bias=True).relu()
        return self.normed(x + self.layer("contract", hidden, bias=True), "norm_output").transpose(1, 2)

    def interacting_attention(self):
        """ReLU(LN(attention + W X)), layer by layer, on the stem's vectors or on n projected ones."""
        operator, x = self.operator, self.stem
        if operator.project:
            x = self.layer("project", self.sparse_inputs())[:, :, : self.block.sparse_width]
        x = x.transpose(1, 2)
        for number in range(operator.layers):
            heads = math.gcd(operator.heads, self.shape.embedding_width)
            read = self.layer(f"interact.{number}.residual", x)
            x = read + attention(self.layer(f"interact.{number}.query_key_value", x), heads)
            x = (self.normed(x, f"interact.{number}.norm") if operator.norm else x).relu()
        return x.transpose(1, 2)

    def cross(self):
        """x ← x₀ ⊙ (W x + b) + x, all at full width: where x₀ is zero, x stays zero."""
        start = x = flat(self.sparse_outputs[0])
        for number in range(self.operator.layers):
            read, name = x, "full"
            if self.operator.rank:
                read, name = self.layer(f"cross.{number}.down", x)[:, : self.operator.rank], "up"
            x = start * self.layer(f"cross.{number}.{name}", read, bias=True) + x
        return x.unflatten(1, (-1, self.shape.embedding_width)).transpose(1, 2)[:, :, : self.stem.shape[2]]

    def field_product(self):
        """act(LN(Σ_t (A_t X) ⊙ (B_t S)))."""
        x = 0
        for term in range(self.operator.terms):
            left = self.layer(f"terms.{term}.left", self.sparse_outputs[0])
            x = x + left * self.layer(f"terms.{term}.right", self.sparse_inputs())
        return self.ending(x[:, :, : self.block.sparse_width])

    def compressed_interaction(self):
        """act(LN(Σ_t Σ_i W_h,t,i x_t ⊙ s_i)), row h · m + t of the matrix has W_h,t."""
        n, vectors = self.block.sparse_width, self.stem.shape[2]
        weight = self.parameter("project")[: n * vectors].unflatten(0, (n, vectors))
        return self.ending(torch.einsum("hti,bdt,bdi->bdh", weight, self.stem, self.sparse_inputs()))


def flat(vectors):
    """[B, D, n] → [B, n D]."""
    return vectors.transpose(1, 2).flatten(1)


def pairs(vectors):
    """[B, D, k] → inner products of vectors i > j, row by row."""
    count = vectors.shape[2]
    products = [(vectors[:, :, i] * vectors[:, :, j]).sum(1) for i in range(count) for j in range(i)]
    return torch.stack(products, 1) if products else vectors.new_zeros(len(vectors), 0)


def attention(query_key_value, heads):
    """softmax(Q Kᵀ / √w) V in every head: [B, n, 3 D] → [B, n, D]."""
    query, key, value = query_key_value.unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
    scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
