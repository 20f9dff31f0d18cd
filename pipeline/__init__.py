"""The stages of a run: click logs in, a found model, its ReRAM mapping and a report out."""

import os

# Before torch loads OpenMP: its threads sleep while they wait for one another. Spinning, which is its default, makes
# a step on two cores that are shared with other work cost up to 15 times the CPU-seconds (DECISIONS.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
