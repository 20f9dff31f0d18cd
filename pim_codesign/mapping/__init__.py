"""From networks to crossbars: what a network asks for, and how each operator is laid out."""

from typing import TYPE_CHECKING

from modules.lazy import imported_on_use

if TYPE_CHECKING:
    from modules.operators import ComputedProduct
    from pim_codesign.mapping.mapping import ACTIVATION_BITS, WEIGHT_BITS, Mapping, OperatorMapping
    from pim_codesign.mapping.subnets import bits_of_subnet, workload_of_subnet
    from pim_codesign.mapping.workload import Embeddings, Stage, Workload

__all__ = [
    "ACTIVATION_BITS",
    "WEIGHT_BITS",
    "ComputedProduct",
    "Embeddings",
    "Mapping",
    "OperatorMapping",
    "Stage",
    "Workload",
    "bits_of_subnet",
    "workload_of_subnet",
]

__getattr__ = imported_on_use(
    __name__,
    {
        "modules.operators": ("ComputedProduct",),
        "pim_codesign.mapping.mapping": ("ACTIVATION_BITS", "WEIGHT_BITS", "Mapping", "OperatorMapping"),
        "pim_codesign.mapping.subnets": ("bits_of_subnet", "workload_of_subnet"),
        "pim_codesign.mapping.workload": ("Embeddings", "Stage", "Workload"),
    },
)
