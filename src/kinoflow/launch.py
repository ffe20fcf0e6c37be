"""Start a training in as many processes as its job has places for: `python -m kinoflow.launch NODES PROCESSES THREADS STAGE ...`.

NODES: machines of the job; PROCESSES: of each machine, one for each of its GPUs; THREADS: CPUs of one machine's processes.
One process is the stage itself; several are started by torchrun, on several machines by one torchrun on each (srun).
"""

import os
import socket
import sys


def command(nodes: int, processes: int, threads: int, words: list[str]) -> list[str]:
    """Return the command that runs a stage (``words``) in ``processes`` processes on each of ``nodes`` machines."""
    if nodes * processes == 1:
        return [sys.executable, "-m", "kinoflow", *words]
    stage = ["-m", "--", "kinoflow", *words]  # after `--` torchrun does not take the stage's options for its own
    torchrun = [sys.executable, "-m", "kinoflow.torchrun", f"--nproc-per-node={processes}"]
    if nodes == 1:
        return [*torchrun, "--standalone", *stage]
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={threads}"]
    meeting = [
        f"--nnodes={nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={_free_place()}",
        f"--rdzv-id={os.getpid()}",
    ]
    return [*srun, *torchrun, *meeting, *stage]


def _free_place() -> str:
    """Return this machine and a port that nobody uses: the first machine of a job runs the rule's command."""
    with socket.socket() as server:
        server.bind(("", 0))
        return f"{socket.gethostname()}:{server.getsockname()[1]}"


if __name__ == "__main__":
    found = command(*map(int, sys.argv[1:4]), sys.argv[4:])
    os.execvp(found[0], found)
