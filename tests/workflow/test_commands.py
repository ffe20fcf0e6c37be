"""What jobs are started with: command lines that Linux takes, and files of their own to note down what they cost."""

import re
import subprocess

from tests.conftest import ROOT
from tests.workflow.project import Project

CLAIMS = ROOT / "workflow/studies/kitchen-claims.yaml"
LONGEST = 100_000  # bytes; a shell gets its command as one word, of which Linux takes 131,071


def test_no_command_of_the_largest_study_is_longer_than_linux_allows(tmp_path):
    done = Project(ROOT).start(
        *("-n", "-p", "--configfile", str(CLAIMS)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    text, _ = done.communicate(timeout=Project.patience)
    commands = re.findall(rb"^ *Shell command: (.*)", text, re.M)
    assert done.returncode == 0 and any(b"kinoflow report " in command for command in commands), text[-2000:]
    assert max(map(len, commands)) < LONGEST


def test_no_two_jobs_note_down_their_costs_in_one_file():
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    patterns = [pattern for pattern in re.findall(r'"(logs/usage/.*)"', text) if "{run}" in pattern]
    jobs = [("x", 1, "-2"), ("x-1", 2, ""), ("x", 1, ""), ("x", 12, ""), ("x-1", 2, "-2")]
    assert len(patterns) >= 8
    for pattern in patterns:
        tested = [job for job in jobs if "{test}" in pattern or not job[2]]
        names = {
            pattern.replace("{{run}}", run).replace("{{seed}}", str(seed)).replace("{{test}}", test)
            for run, seed, test in tested
        }
        assert len(names) == len(tested), pattern
