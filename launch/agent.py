"""torchrun without its tracebacks: `python -m launch.agent --nproc-per-node=2 --standalone -m -- pipeline.chain ...`.

When a rank fails, its own message and the agent's line of which rank it was are all there is to say; torchrun would
push them off the screen with the agent's stack.

Where ranks may be restarted (--max-restarts), each start has a store of its own, kept by its rank 0. torch 2.13 would
let all starts share the agent's, in which ranks find the addresses of those that were killed before them, and fail.
"""

import os
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

if __name__ == "__main__":
    if any(argument.startswith("--max-restarts") for argument in sys.argv):
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    try:
        main()
    except ChildFailedError as failed:
        _, first = failed.get_first_failure()
        sys.exit(first.exitcode if first.exitcode > 0 else 128 - first.exitcode)  # negative: the signal it died of
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
