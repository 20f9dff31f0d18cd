"""What rows count for, as factors whose mean is 1: the weighted mean of x is then the plain mean of factor · x.

So a loss, a score or an interval takes weights by one product, its scale does not depend on theirs, and weights of 1
change no bit of it.

B rows of a rank's batch, R rows.
"""

import numpy
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from pipeline.run.processes import Processes


def batch_factors(weight: Tensor | None, processes: Processes) -> Tensor | None:
    """Factors [B] of a batch's weights [B]: their mean over the rows of all ranks is 1. Every rank calls it."""
    if weight is None:
        return None
    sums = torch.stack([weight.double().sum(), torch.tensor(float(len(weight)), dtype=torch.float64).to(weight.device)])
    if processes.world_size > 1:
        distributed.all_reduce(sums, group=processes.dense_group)
    return weight * (sums[1] / sums[0]).float()


def factors(weights: npt.NDArray[numpy.float32] | None) -> npt.NDArray[numpy.float64] | None:
    """Factors [R] of weights [R].

    >>> factors(numpy.float32([1.0, 3.0])).tolist()
    [0.5, 1.5]
    """
    if weights is None or not len(weights):
        return None
    own = weights.astype(numpy.float64)
    return own / own.mean()


def tensor_factors(weight: Tensor | None) -> Tensor | None:
    """Factors [R] in float32 of weights [R], on their device."""
    found = None if weight is None else factors(weight.cpu().numpy())  # numpy adds in one order on any threads
    return weight if weight is None or found is None else torch.from_numpy(found).float().to(weight.device)
