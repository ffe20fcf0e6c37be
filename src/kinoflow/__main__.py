"""python -m kinoflow STAGE ...: the same as the command `kinoflow`."""

import sys

from kinoflow.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
