"""Raw click logs → prepared Parquet: python -m pipeline.data.prepare --path … --schema … --folder …"""

import sys

from pipeline.data.prepare.prepare import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
