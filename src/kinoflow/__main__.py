"""python -m kinoflow STAGE ...: the same as the command `kinoflow`."""

import os
import sys

from kinoflow.interrupts import end_silently


def start() -> int:
    """Run the command line that this process was started with; return its exit status."""
    end_silently()
    for library in ("OPENBLAS", "MKL"):  # products of matrices round by the number of threads; torch's is an option
        os.environ[f"{library}_NUM_THREADS"] = "1"
    from kinoflow.cli import main

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(start())
