"""How fast an export answers in each format: python -m pipeline.serve_bench runs/mine [--batches 1 1024]

Eager PyTorch, TorchScript (as it is, frozen, optimized for inference), AOTInductor, ONNX Runtime and int8 tables, made
from the export's model.pt and measured in turn in one process: p50, p99, rows a second and CPU time of a call for
each batch size. The last line is JSON: batch size → format → the four figures.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence

import tyro

from pipeline.serving.bench_config import ServeBenchConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code. What a user did wrong is one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        config = tyro.cli(ServeBenchConfig, prog="pipeline.serve_bench", description=__doc__, args=given)
        from pipeline.serving.bench import in_words, measure  # after the command line is read: it takes seconds

        found = measure(config)
        print(in_words(found))
        plain = {rows: {name: dataclasses.asdict(one) for name, one in own.items()} for rows, own in found.items()}
        print(json.dumps(plain))
    except (ValueError, OSError) as error:
        print(f"pipeline.serve_bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
