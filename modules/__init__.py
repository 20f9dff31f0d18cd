"""Tensors in, logits out: the search spaces, the supernet and hand-made models.

Knows nothing of files, schemas, runs or processes.

>>> import numpy, torch
>>> from modules import NASREC_FULL, InputShape, Supernet, extract, single_operator_any_connection
>>> supernet = Supernet(NASREC_FULL, InputShape(integers=13, fields=26, embedding_width=16))
>>> architecture = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(0))
>>> dense, sparse = torch.rand(4, 13), torch.rand(4, 26, 16)
>>> torch.allclose(supernet(dense, sparse, architecture), extract(supernet, architecture)(dense, sparse), atol=1e-5)
True
"""

from typing import TYPE_CHECKING

from modules.lazy import imported_on_use

if TYPE_CHECKING:
    from modules.space import (
        NASREC_FULL,
        NASREC_SMALL,
        OPEN,
        Architecture,
        Block,
        InputShape,
        Sampler,
        SearchSpace,
        any_path,
        full_path,
        multiply_accumulates,
        parameter_count,
        single_operator_any_connection,
        single_path,
    )
    from modules.supernet import Subnet, Supernet, extract

__all__ = [
    "NASREC_FULL",
    "NASREC_SMALL",
    "OPEN",
    "Architecture",
    "Block",
    "InputShape",
    "Sampler",
    "SearchSpace",
    "Subnet",
    "Supernet",
    "any_path",
    "extract",
    "full_path",
    "multiply_accumulates",
    "parameter_count",
    "single_operator_any_connection",
    "single_path",
]

__getattr__ = imported_on_use(
    __name__,
    {
        "modules.space": (
            "NASREC_FULL",
            "NASREC_SMALL",
            "OPEN",
            "Architecture",
            "Block",
            "InputShape",
            "Sampler",
            "SearchSpace",
            "any_path",
            "full_path",
            "multiply_accumulates",
            "parameter_count",
            "single_operator_any_connection",
            "single_path",
        ),
        "modules.supernet": ("Subnet", "Supernet", "extract"),
    },
)
