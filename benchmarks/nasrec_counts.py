"""Our multiply-accumulates by the authors' rule beside the authors' counter (fvcore) on the authors' networks.

pip install --target DIR fvcore
PYTHONPATH=DIR python benchmarks/nasrec_counts.py --reference PATH [--architectures 20]

Their six published architectures, and random ones of both spaces, each written as a file of theirs from which their
own code builds the network. Counted twice: as this environment's PyTorch traces it, where attention is one operation
that fvcore does not know, and with attention's two products as PyTorch 1.12, theirs, computes them. The last line is
one JSON object.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy
import tyro

from benchmarks import nasrec_reference
from modules.space import (
    NASREC_FULL,
    NASREC_SMALL,
    InputShape,
    any_path,
    from_nasrec_json,
    multiply_accumulates,
    single_operator_any_connection,
    to_nasrec_json,
)


@dataclass(frozen=True)
class Options:
    """Compare counts with the authors'."""

    reference: str
    """Folder of a checkout of facebookresearch/NasRec."""
    architectures: int = 20
    """Random architectures of each space and sampler, at least 0."""
    seed: int = 0
    """Of the architectures."""


def compared(options: Options) -> Iterator[tuple[str, InputShape, dict[str, Any]]]:
    """(name, inputs, file) of every architecture that is counted."""
    yield from nasrec_reference.published(options.reference)
    generator = numpy.random.default_rng(options.seed)
    for space in (NASREC_SMALL, NASREC_FULL):
        for sampler in (single_operator_any_connection, any_path):
            for index in range(options.architectures):
                integers, fields, eighths = (int(generator.integers(1, most)) for most in (20, 30, 5))
                shape = InputShape(integers, fields, 8 * eighths)  # their attention has eight heads
                document = json.loads(json.dumps(to_nasrec_json(sampler(space, generator), space)))
                yield f"{space.name} {sampler.__name__[:10]} {index}", shape, document


def main() -> None:
    """Count every architecture both ways."""
    options = tyro.cli(Options)
    reference = nasrec_reference.open_reference(options.reference)
    counted, differ = 0, 0
    print(f"{'':42} {'ours':>12} {'theirs':>12}   without attention's products")
    for name, shape, document in compared(options):
        architecture = from_nasrec_json(document)
        ours = [multiply_accumulates(architecture, shape, rule) for rule in ("reference", "reference_fused_attention")]
        model = nasrec_reference.build_standalone(reference, document, shape, table_rows=3)
        theirs = [nasrec_reference.counted(model, shape, products) for products in (True, False)]
        counted, differ = counted + 1, differ + (ours != theirs)
        mark = "" if ours == theirs else "  DIFFERENT"
        print(f"{name:42} {ours[0]:12,} {theirs[0]:12,} {ours[1]:12,} {theirs[1]:12,}{mark}", flush=True)
    print(json.dumps({"architectures": counted, "counts_that_differ": differ}))


if __name__ == "__main__":
    main()
