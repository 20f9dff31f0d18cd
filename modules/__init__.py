"""Tensors in, logits out: the search space, the supernet, the baselines and the click model. Knows nothing of files or runs."""
