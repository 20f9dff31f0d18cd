"""Race contenders from scratch: python -m pipeline.race [named run] [--run NAME] [--field value ...]"""

import sys

from pipeline.race.stage import race
from pipeline.session import run_program

if __name__ == "__main__":
    sys.exit(run_program(race, "pipeline.race"))
