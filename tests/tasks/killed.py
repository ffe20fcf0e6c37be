"""A training that is killed while it runs and started again, as every room tests it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def ends_alike(words: list, folder: Path, expected: Path) -> None:
    """Kill the stage ``words`` once its state is saved, start it again; it must end with the bytes of ``expected``.

    The stage keeps its state in folder/.work and writes folder/model.safetensors and folder/history.csv; expected: the model
    of an undisturbed training, its history beside it.
    """
    command = [sys.executable, "-m", "kinoflow", *map(str, words)]
    surroundings = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    child = subprocess.Popen(command, env=surroundings, stderr=subprocess.PIPE)
    while not any(path.suffix != ".new" and path.is_file() for path in (folder / ".work").rglob("*")):
        assert child.poll() is None, child.stderr.read().decode()
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not (folder / "model.safetensors").exists()
    again = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "continues after step" in again.stderr
    assert (folder / "model.safetensors").read_bytes() == expected.read_bytes()
    assert (folder / "history.csv").read_bytes() == (expected.parent / "history.csv").read_bytes()
