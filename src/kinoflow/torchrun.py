"""torchrun, as `python -m kinoflow.torchrun ARGUMENTS`: how its processes ended is said in a sentence.

torchrun itself would end with a traceback whenever one of its processes fails, though nothing is wrong with torchrun.
"""

import os
import signal
import sys

from torch.distributed import DistError
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.run import main

from kinoflow.watch import MAIN, end_with_main


def run(words: list[str]) -> tuple[int, str]:
    """Run torchrun with the words of a command line; return its exit status and what is left to say, "" if nothing is.

    A process that fails has said why; for one that was killed it is said here. This process ends with the workflow's main
    process, and those that it starts end with this one: torchrun leaves them at work if it is killed.
    """
    end_with_main()
    os.environ[MAIN] = f"{os.getpid()} {os.readlink('/proc/self/ns/pid')} "
    try:
        main(words)
    except ChildFailedError as error:
        return ended(error.failures)
    except SignalException as error:  # passed on to the processes, which have said so
        return 128 + error.sigval, ""
    except (RendezvousError, DistError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        return (
            1,
            f"the machines of this training have lost each other, or never met ({why}); the same command continues",
        )
    return 0, ""


def ended(failures: dict[int, ProcessFailure]) -> tuple[int, str]:
    """Return the exit status of processes {number in the team: failure}, and a sentence on those that were killed.

    SIGTERM is what torchrun sends to the others when one has failed.
    """
    signals = {rank: signal.Signals(-each.exitcode) for rank, each in failures.items() if each.exitcode < 0}
    killed = {rank: number.name for rank, number in signals.items() if number != signal.SIGTERM}
    if not killed:
        return max(1, *(each.exitcode for each in failures.values())), ""
    told = ", ".join(f"process {rank} of this training was ended by {name}" for rank, name in sorted(killed.items()))
    return 1, f"{told}; the same command continues"


if __name__ == "__main__":
    status, sentence = run(sys.argv[1:])
    if sentence:
        print(f"kinoflow: {sentence}", file=sys.stderr)
    sys.exit(status)
