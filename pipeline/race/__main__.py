"""Race contenders from scratch: python -m pipeline.race [named run] [--run NAME] [--field value ...]"""

import sys

from pipeline.command_line import run_program

if __name__ == "__main__":
    sys.exit(run_program("pipeline.race.stage:race", "pipeline.race"))
