"""Search a trained supernet: python -m pipeline.search [named run] [--run NAME] [--field value ...]"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":
    sys.exit(run_program("pipeline.search.stage:search_supernet", "pipeline.search"))
