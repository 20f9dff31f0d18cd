"""How an exported model does on newer rows: python -m pipeline.evaluate_model PATH/model.pt --data.path newer/

Reads the log as serving would feed the model (its vocabularies and rules; unknown values are unknown), scores all rows,
and writes evaluation.json and evaluation.html: overall beside the export's own test figures, by file and by field.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence

import tyro

from pipeline.evaluation.config import EvaluateConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code. What a user did wrong is one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        config = tyro.cli(
            EvaluateConfig, prog="pipeline.evaluate_model", description=__doc__, args=_with_model_first(given)
        )
        from pipeline.evaluation.evaluate import evaluate  # after the command line is read: it takes seconds

        print(evaluate(config, f"python -m pipeline.evaluate_model {shlex.join(given)}"))
    except (ValueError, OSError) as error:
        print(f"pipeline.evaluate_model: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pipeline.evaluate_model: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


def _with_model_first(arguments: list[str]) -> list[str]:
    """`--model PATH` as PATH, which is how the command line is read.

    >>> _with_model_first(["--data.path", "newer/", "--model", "model.pt"])
    ['model.pt', '--data.path', 'newer/']
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--model")
    found, others = parser.parse_known_args(arguments)
    return others if found.model is None else [found.model, *others]


if __name__ == "__main__":
    sys.exit(main())
