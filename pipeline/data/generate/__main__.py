"""Writes Criteo-shaped click logs, one file per day, as Parquet (with the planted probability) or Criteo TSV.

    python -m pipeline.data.generate --folder /tmp/clicks --rows 1000000 --days 24 --format tsv --compression gz

The same settings give the same bytes; a stopped run resumes at the first missing day.
"""

import logging

import tyro

from pipeline.data.generate.logs import GenerateConfig, generate

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("pipeline").setLevel(logging.INFO)
    generate(tyro.cli(GenerateConfig, description=__doc__))
