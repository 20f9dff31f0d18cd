"""The search for a mapping and a chip: genome, log-loss estimates, NSGA-II, Pareto set."""

from pim_codesign.search.config import CodesignConfig
from pim_codesign.search.result import CodesignResult, Point, naive_point
from pim_codesign.search.search import bits_key, search

__all__ = ["CodesignConfig", "CodesignResult", "Point", "bits_key", "naive_point", "search"]
