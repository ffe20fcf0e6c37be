"""A job of SLURM that goes back into the queue: what its time limit would end is continued later, by the same job."""

import os
import subprocess

from kinoflow.progress import log

JOB = "SLURM_JOB_ID"


def requeue() -> bool:
    """Put the job that this process belongs to back into the queue; return whether SLURM did so, and say why if not."""
    try:
        done = subprocess.run(
            ["scontrol", "requeue", os.environ[JOB]], capture_output=True, text=True, timeout=60, check=False
        )
        refusal = (done.stderr or done.stdout).strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        refusal = str(error)
    if refusal:
        log.warning("SLURM does not put this job back into the queue (%s): it goes on until its time limit", refusal)
    return not refusal
