"""The search for a mapping and a chip: genome, log-loss estimates, NSGA-II, Pareto set."""
