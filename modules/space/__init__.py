"""What may be searched: architectures as values, the two NASRec spaces, samplers, and exact counts."""

from modules.space.architecture import Architecture, Block, InputShape
from modules.space.counting import multiply_accumulates, parameter_count
from modules.space.liveness import Liveness, canonical, live
from modules.space.sampling import Sampler, any_path, full_path, single_operator_any_connection, single_path
from modules.space.search_space import NASREC_FULL, NASREC_SMALL, SPACES, SearchSpace

__all__ = [
    "NASREC_FULL",
    "NASREC_SMALL",
    "SPACES",
    "Architecture",
    "Block",
    "InputShape",
    "Liveness",
    "Sampler",
    "SearchSpace",
    "any_path",
    "canonical",
    "full_path",
    "live",
    "multiply_accumulates",
    "parameter_count",
    "single_operator_any_connection",
    "single_path",
]
