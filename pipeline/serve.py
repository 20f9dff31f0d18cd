"""Serve an exported model over HTTP: python -m pipeline.serve runs/mine [--port 8080] [--workers N]

    curl -d '{"price": 3, "user": "u17", "item": null}' localhost:8080/score      → {"probability": 0.0371}

A process for each core, each of which puts waiting requests together into batches. A model that is exported anew into
the folder is served within a second, without losing a request. Ends on SIGTERM or SIGINT.
"""

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Sequence

import tyro

from pipeline.serving.server_config import ServeConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit code. What a user did wrong is one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        config = tyro.cli(ServeConfig, prog="pipeline.serve", description=__doc__, args=given)
        serve(config)
    except (ValueError, OSError) as error:
        print(f"pipeline.serve: {error}", file=sys.stderr)
        return 1
    return 0


def serve(config: ServeConfig) -> None:
    """Serve until a signal ends it. Raises ValueError for an export that does not load."""
    from granian import Granian  # after the command line is read, as is torch below
    from granian.constants import Interfaces, Loops
    from granian.log import LogLevels

    from pipeline.serving.served_model import load_served

    model = load_served(config.card, config.format)  # an error now is one line
    with tempfile.TemporaryDirectory(prefix="pipeline_serve_") as counters:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = counters
        os.environ["PIPELINE_SERVE_SETTINGS"] = json.dumps(dataclasses.asdict(config))
        print(
            f"serve      {model.file} ({model.format}) at http://{config.host}:{config.port}/score, "
            f"{config.processes} process(es)",
            flush=True,
        )
        Granian(
            "pipeline.serving.server:application",
            address=config.host,
            port=config.port,
            interface=Interfaces.RSGI,
            factory=True,
            workers=config.processes,
            respawn_failed_workers=True,
            loop=Loops.uvloop,
            log_access=False,
            log_level=LogLevels.warning,
        ).serve()


if __name__ == "__main__":
    sys.exit(main())
