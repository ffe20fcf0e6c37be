"""What jobs ask a cluster for, and the command that starts several processes."""

import os
import re
import subprocess
import sys

import pytest
from tests.conftest import ROOT

from kinoflow.launch import command
from kinoflow.needs import memory, minutes


def test_a_second_attempt_gets_twice_the_memory_and_time():
    assert [memory(3000)(None, attempt) for attempt in (1, 2)] == [3000, 6000]
    assert [minutes(60)(None, attempt) for attempt in (1, 2)] == [60, 120]


def test_every_rule_of_a_cluster_asks_for_memory_and_time():
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    rules = dict(re.findall(r"^rule (\w+):\n((?:\n|    .*\n)+)", text, re.M))
    local = "\n".join(each.split("\n\n")[0] for each in text.split("localrules:\n")[1:])
    here = re.findall(r"^    (\w+),$", local, re.M)
    asked = {name for name, body in rules.items() if re.search(r"mem_mb=needs", body) and "runtime=" in body}
    assert here == ["anticipation_summary", "claims", "report"] and len(rules) > 30
    assert {*rules} - asked == {*here}


def test_one_process_is_the_stage_itself():
    assert command(1, 1, 4, ["probe", "--help"]) == [sys.executable, "-m", "kinoflow", "probe", "--help"]
    words = [sys.executable, "-m", "kinoflow.launch", "1", "1", "4", "probe", "--help"]
    assert "--table" in subprocess.run(words, capture_output=True, text=True, check=True, env=sources()).stdout


def sources() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@pytest.mark.long
def test_torchrun_leaves_the_stage_its_options():
    words = command(1, 2, 4, ["recognition-train", "--log"])
    done = subprocess.run(words, capture_output=True, text=True, env=sources())
    assert "recognition-train: --log: its value is missing" in done.stderr


@pytest.mark.parametrize("nodes", [1, 3])
def test_several_processes_are_started_by_torchrun_and_on_several_machines_by_srun(nodes):
    words = command(nodes, 2, 8, ["recognition-train", "--seed", "1"])
    assert words[-6:] == ["-m", "--", "kinoflow", "recognition-train", "--seed", "1"]
    assert "--nproc-per-node=2" in words and "kinoflow.torchrun" in words
    if nodes == 1:
        assert "--standalone" in words and "srun" not in words
    else:
        head = words[: words.index(sys.executable)]
        assert head == ["srun", "--nodes=3", "--ntasks=3", "--ntasks-per-node=1", "--cpus-per-task=8"]
        assert "--nnodes=3" in words
        host, port = next(word for word in words if word.startswith("--rdzv-endpoint=")).split("=")[1].split(":")
        assert host == os.uname().nodename and int(port) > 0
