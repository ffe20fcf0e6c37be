"""One run per folder, and the frozen copy of sources, rules and config that its jobs execute."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kinoflow.command import MAIN
from kinoflow.store.files import parse_json, sha256_of, write_json

FROZEN = "KINOFLOW_FROZEN"  # where jobs find the frozen copy: set by the main process, inherited locally and by SLURM
STATE = Path(".snakemake/kinoflow")
PARTS = ("src", "workflow", "envs")
RECORD = "run.json"  # in the frozen copy: what the main process tells its jobs
SLURM = ", jobs on SLURM"  # said of the owner of a folder
KEPT = 5  # frozen copies that stay
DEFAULT_RATE = (100, 1)  # jobs, seconds: what Snakemake lets begin if nothing else is asked for


class RunState:
    """What the main process of a run holds (the lock, the frozen copy), and how its jobs find it."""

    def __init__(self, workflow: Any):
        self.workflow, self.home, self.main = workflow, Path(workflow.basedir), workflow.is_main_process
        self.owner: Any = None
        self.tree = _tree(self.home) if self.main else ""
        if not self.main:
            if FROZEN not in os.environ:
                raise SystemExit("A job finds no frozen copy: start the workflow by `snakemake`, not its jobs by hand.")
            self.frozen = Path(os.environ[FROZEN])
            os.environ.pop(MAIN, None)  # a job with a Snakemake of its own (SLURM) outlives the main process

    @property
    def owned(self) -> bool:
        """Whether this process holds the folder's lock (never in a dry run)."""
        return self.owner is not None

    @property
    def source(self) -> Path:
        """The folder that rules are read from."""
        return self.home if self.main else self.frozen

    def choose(self, config: str) -> None:
        """Fix the name of the frozen copy: what the sources and the config are."""
        name = hashlib.sha256((self.tree + config).encode()).hexdigest()[:16]
        self.frozen = (STATE / name).absolute()
        os.environ[FROZEN] = str(self.frozen)

    def record(self) -> dict[str, Any]:
        """Return what the main process wrote down for its jobs."""
        found = read_state(self.frozen / RECORD)
        if "codes" not in found:
            raise SystemExit(f"{self.frozen / RECORD}: this is no record of a run; start the workflow again.")
        return found

    def begin(self) -> None:
        """Take the folder's lock, or refuse with one sentence.

        Snakemake calls input functions between parsing and its own locking, when it is known that this is no dry run,
        lint or summary. The kernel drops our lock with the process, so Snakemake's lock files can only be a killed run's.
        """
        if not self.main or self.owned or not self.workflow.executor_plugin or self.workflow.dryrun:
            return
        STATE.mkdir(parents=True, exist_ok=True)
        file = open(STATE / "owner", "a+")  # noqa: SIM115 - held until the process ends
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise SystemExit(
                f"Another run is at work in this folder ({file.read()}): wait for it or stop it."
            ) from None
        file.seek(0)
        if file.read().endswith(SLURM) and (jobs := _submitted()):
            raise SystemExit(f"Jobs of a killed run are still at work: wait for them, or scancel {' '.join(jobs)}")
        self._mark_unrecorded()
        for lock in Path(".snakemake/locks").glob("*.lock"):
            lock.unlink()
        file.truncate(0)
        elsewhere = "" if self.workflow.executor_plugin.common_settings.local_exec else SLURM
        print(f"process {os.getpid()} on {os.uname().nodename}{elsewhere}", end="", file=file, flush=True)
        os.environ[MAIN] = f"{os.getpid()} {os.readlink('/proc/self/ns/pid')} {Path(STATE, 'owner').absolute()}"
        self.owner = file
        lift_default_rate(self.workflow.scheduling_settings)

    def _mark_unrecorded(self) -> None:
        """Mark what a killed run's jobs have written, and nobody has recorded, as incomplete: it is made again.

        A job on SLURM goes on without its main process and takes its own mark away at its end. Without a record, or with
        that of the file before, no change of options or code would ever be noticed. Lock files list what a run makes.
        """
        made = self.workflow.persistence
        listed = {line for lock in Path(".snakemake/locks").glob("*.output.lock") for line in _lines(lock)}
        lost = [
            file for file in map(self.workflow.inputfile, sorted(listed)) if _is_unrecorded(file, made.metadata(file))
        ]
        if lost:
            made.started(SimpleNamespace(output=lost))

    def freeze(self, record: dict[str, Any]) -> None:
        """Copy sources, rules and environments, unless this very state was copied before; keep the last few copies.

        record: what jobs are to know. ``codes`` are added to those that an earlier run of the same state needed. A copy that
        lost files, as scratch folders do, is made anew.
        """
        if _tree(self.home) != self.tree:
            raise SystemExit("The sources changed while the workflow was being read: start again.")
        old = read_state(self.frozen / RECORD)
        if "codes" not in old or _tree(self.frozen) != self.tree:
            new = self.frozen.with_name("new")
            for stale in (new, self.frozen):
                shutil.rmtree(stale, ignore_errors=True)
            for part in PARTS:
                shutil.copytree(self.home / part, new / part, ignore=_unread)
            write_json(new / RECORD, record)
            new.rename(self.frozen)
        elif old["codes"].keys() < (codes := old["codes"] | record["codes"]).keys():
            write_json(self.frozen / RECORD, record | {"codes": codes})
        os.utime(self.frozen)
        for copy in sorted(STATE.glob("*/"), key=os.path.getmtime)[:-KEPT]:
            shutil.rmtree(copy)


def _tree(home: Path) -> str:
    """Return a hash of everything that is copied: names and bytes of files."""
    files = []
    for part in PARTS:
        for folder, folders, names in os.walk(home / part, followlinks=True):
            unread = _unread(folder, [*folders, *names])
            folders[:] = (name for name in folders if name not in unread)
            files += [Path(folder, name) for name in names if name not in unread]
    lines = (f"{path.relative_to(home)} {sha256_of(path)}" for path in sorted(files))
    return hashlib.sha256("\n".join([*lines, sys.version]).encode()).hexdigest()


def _unread(folder: str, names: list[str]) -> set[str]:
    """Return what in a folder is no source: what Python and editors put there, links that lead nowhere (Emacs's locks)."""
    return {
        name
        for name in names
        if name.startswith(".")
        or name == "__pycache__"
        or name.endswith((".pyc", ".egg-info"))
        or not Path(folder, name).exists()
    }


def read_state(file: Path) -> dict[str, Any]:
    """Return what a file of state holds; nothing where it is not there, or damaged: the next run writes it anew."""
    try:
        found = parse_json(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def lift_default_rate(settings: Any) -> None:
    """Take Snakemake's default limit of jobs per second away; one that was asked for stays.

    To keep to it, its scheduler weighs all waiting jobs anew once a second, and once a second more for every job that has
    ended (github.com/snakemake/snakemake, pull request 3744): after 200 jobs most of a core goes there.
    """
    limit = settings.max_jobs_per_timespan
    if limit is not None and (limit.max_jobs, limit.timespan) == DEFAULT_RATE:
        settings.max_jobs_per_timespan = None


def name_cached_rules(workflow: Any) -> None:
    """Say which rules a `--cache` without names means: Snakemake hands the word on to jobs on a cluster with names alone."""
    if workflow.workflow_settings.cache == []:
        workflow.workflow_settings.cache = [rule.name for rule in workflow.rules if rule.cache.output]


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="surrogateescape").splitlines()


def _is_unrecorded(file: Any, record: Any) -> bool:
    """Tell whether a file was written since Snakemake's record of it: what a job was that it never heard of again."""
    try:
        return record is None or record.endtime != os.lstat(file).st_mtime
    except FileNotFoundError:
        return False


def _submitted() -> list[str]:
    """Return the jobs that a Snakemake of this folder gave to SLURM: named after its run, with this folder as workplace."""
    command = ["squeue", "--me", "-h", "-o", "%A %j %Z"]
    asked = subprocess.run(command, capture_output=True, text=True) if shutil.which("squeue") else None
    if not asked or asked.returncode:
        why = asked.stderr.strip() if asked else "there is no such command on PATH"
        raise SystemExit(
            f"The last run here gave its jobs to SLURM, and squeue does not say whether some are still at work"
            f" ({why}): start again when it does; or delete {STATE / 'owner'} if you know that none is."
        )
    return re.findall(rf"^(\d+) \S*[0-9a-f-]{{36}} {re.escape(str(Path.cwd()))}$", asked.stdout, re.M)
