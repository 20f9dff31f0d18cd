"""What a mapped network costs on a chip: latency, energy, area."""

from pim_codesign.cost.breakdown import Breakdown, breakdown
from pim_codesign.cost.model import Cost, CostTable, evaluate, evaluate_many

__all__ = ["Breakdown", "Cost", "CostTable", "breakdown", "evaluate", "evaluate_many"]
