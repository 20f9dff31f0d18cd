"""What may be searched: architectures as values, the two NASRec spaces, samplers, and exact counts."""

from typing import TYPE_CHECKING

from modules.lazy import imported_on_use

if TYPE_CHECKING:
    from modules.operators import InputShape
    from modules.space.architecture import Architecture, Block
    from modules.space.counting import elementwise_operations, multiply_accumulates, parameter_count
    from modules.space.liveness import Liveness, canonical, live, stem_is_live
    from modules.space.mutation import mutate
    from modules.space.nasrec import from_nasrec_json, to_nasrec_json
    from modules.space.plan import Part, output_widths
    from modules.space.sampling import Sampler, any_path, full_path, single_operator_any_connection, single_path
    from modules.space.search_space import NASREC_FULL, NASREC_SMALL, OPEN, SPACES, SearchSpace

__all__ = [
    "NASREC_FULL",
    "NASREC_SMALL",
    "OPEN",
    "SPACES",
    "Architecture",
    "Block",
    "InputShape",
    "Liveness",
    "Part",
    "Sampler",
    "SearchSpace",
    "any_path",
    "canonical",
    "elementwise_operations",
    "from_nasrec_json",
    "full_path",
    "live",
    "multiply_accumulates",
    "mutate",
    "output_widths",
    "parameter_count",
    "single_operator_any_connection",
    "single_path",
    "stem_is_live",
    "to_nasrec_json",
]

__getattr__ = imported_on_use(
    __name__,
    {
        "modules.operators": ("InputShape",),
        "modules.space.architecture": ("Architecture", "Block"),
        "modules.space.counting": ("elementwise_operations", "multiply_accumulates", "parameter_count"),
        "modules.space.liveness": ("Liveness", "canonical", "live", "stem_is_live"),
        "modules.space.mutation": ("mutate",),
        "modules.space.nasrec": ("from_nasrec_json", "to_nasrec_json"),
        "modules.space.plan": ("Part", "output_widths"),
        "modules.space.sampling": ("Sampler", "any_path", "full_path", "single_operator_any_connection", "single_path"),
        "modules.space.search_space": ("NASREC_FULL", "NASREC_SMALL", "OPEN", "SPACES", "SearchSpace"),
    },
)
