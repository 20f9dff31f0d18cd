"""Search a trained supernet: python -m pipeline.search [named run] [--run NAME] [--field value ...]"""

import sys

from pipeline.search.stage import search_supernet
from pipeline.session import run_program

if __name__ == "__main__":
    sys.exit(run_program(search_supernet, "pipeline.search"))
