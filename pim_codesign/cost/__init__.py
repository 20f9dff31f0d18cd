"""What a mapped network costs on a chip: latency, energy, area."""

from pim_codesign.cost.model import Cost, CostTable, evaluate, evaluate_many

__all__ = ["Cost", "CostTable", "evaluate", "evaluate_many"]
