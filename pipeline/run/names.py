"""Names that settings share with what needs torch to be imported, apart from it: settings are read without torch."""

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
"""Where a process computes (`pipeline.run.processes.join`)."""

CandidateValue = Literal["log_loss", "multiply_accumulates", "parameters", "table_bytes", "latency_us"]
"""What strategies know of a candidate (`pipeline.run.records.candidates.Candidate`); less is better for all of them."""
