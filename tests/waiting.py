"""A stage in a process of its own that has begun to write and waits to be stopped; processes in another container."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import ROOT

STAGES = """
import time
from kinoflow.progress import log
from kinoflow.stage import Out
from kinoflow.store.files import replacing
def wait(shard: Out, code: str = "") -> None:
    "Wait with half of a shard written."
    with replacing(shard) as new:
        new.write_bytes(b"half")
        log.info("waiting")
        time.sleep(60)
"""
RUN = """
import sys, sample.stages as stages
from kinoflow.command import run
sys.exit(run("sample.stages:wait", stages.wait, sys.argv[1:]))
"""
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child")  # words before a command: a pid namespace of its own


def _containers_work() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0


needs_containers = pytest.mark.skipif(not _containers_work(), reason="this user may not make a pid namespace (unshare)")


@contextmanager
def waiting_stage(folder: Path, *wrapper: str, **environment: str) -> Iterator[subprocess.Popen]:
    """Start a stage that has written half of folder/out/a.h5; ``wrapper``: words before its command."""
    (folder / "sample").mkdir()
    (folder / "sample" / "__init__.py").touch()
    (folder / "sample" / "stages.py").write_text(STAGES)
    variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{folder}", **environment}
    command = [*wrapper, sys.executable, "-c", RUN, "--shard", folder / "out" / "a.h5"]
    process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr.readline() == "waiting\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
