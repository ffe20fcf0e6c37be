"""What a run asks of Snakemake itself, and what it copies. That runs exclude each other: tests/workflow/test_runs.py."""

import json
from types import SimpleNamespace

import pytest
from snakemake.caching.rule import RuleCache
from snakemake.cli import get_argument_parser
from snakemake.settings.types import SchedulingSettings

from kinoflow.run_state import FROZEN, SLURM, STATE, RunState, lift_default_rate, name_cached_rules

RECORD = {"config": {}, "codes": {"a": "1"}, "weights": {}}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A workflow of three files, and a working folder."""
    monkeypatch.setenv(FROZEN, "")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for file in ("src/a.py", "workflow/rules/a.smk", "envs/a.yaml"):
        (tmp_path / "home" / file).parent.mkdir(parents=True)
        (tmp_path / "home" / file).write_text("text")
    return tmp_path / "home"


def state(home) -> RunState:
    """Return the state of a new main process."""
    workflow = SimpleNamespace(basedir=home, is_main_process=True, executor_plugin=object(), dryrun=False)
    found = RunState(workflow)
    found.choose("{}")
    return found


@pytest.mark.parametrize(("words", "stays"), [([], False), (["--max-jobs-per-timespan", "5/1s"], True)])
def test_the_default_limit_of_jobs_per_second_goes_and_one_that_was_asked_for_stays(words, stays):
    given = get_argument_parser().parse_args(["--cores", "1", *words]).max_jobs_per_timespan
    settings = SchedulingSettings(max_jobs_per_timespan=given)
    lift_default_rate(settings)
    assert settings.max_jobs_per_timespan is (given if stays else None)


def test_where_squeue_is_not_to_be_found_jobs_may_be_at_work_and_nothing_begins(home, monkeypatch, tmp_path):
    STATE.mkdir(parents=True)
    owner = f"process 1 on here{SLURM}"
    (STATE / "owner").write_text(owner)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        SystemExit, match="squeue does not say whether some are still at work .there is no such command"
    ):
        state(home).begin()
    assert (STATE / "owner").read_text() == owner  # the next call asks again


@pytest.mark.parametrize("lost", ["src/a.py", "envs", "run.json"])
def test_a_copy_that_lost_a_file_is_made_anew(home, lost):
    first = state(home)
    first.freeze(RECORD)
    path = first.frozen / lost
    path.unlink() if path.is_file() else (path / "a.yaml").unlink()
    again = state(home)
    again.freeze(RECORD)
    assert again.frozen == first.frozen
    assert sorted(p.name for p in again.frozen.rglob("*") if p.is_file()) == ["a.py", "a.smk", "a.yaml", "run.json"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"config": {}}'])
def test_a_damaged_record_is_written_anew_and_told_to_a_job(home, text):
    first = state(home)
    first.freeze(RECORD)
    (first.frozen / "run.json").write_text(text)
    with pytest.raises(SystemExit, match=r"run\.json: this is no record of a run"):
        first.record()
    again = state(home)
    again.freeze(RECORD)
    assert json.loads((again.frozen / "run.json").read_text()) == RECORD


def test_codes_of_the_same_state_add_up(home):
    state(home).freeze(RECORD)
    again = state(home)
    again.freeze(RECORD | {"codes": {"b": "2"}})
    assert again.record()["codes"] == {"a": "1", "b": "2"}


def test_what_editors_and_python_leave_among_the_sources_is_neither_copied_nor_counted(home):
    name = state(home).frozen
    (home / "src/.#a.py").symlink_to("me@here.1:2")
    (home / "src/lost.py").symlink_to("nowhere")
    (home / "src/.a.py.swp").write_text("text")
    (home / "src/__pycache__").mkdir()
    (home / "src/__pycache__/a.pyc").write_text("text")
    edited = state(home)
    assert edited.frozen == name
    edited.freeze(RECORD)
    assert [path.name for path in (edited.frozen / "src").iterdir()] == ["a.py"]


@pytest.mark.parametrize(("given", "meant"), [([], ["b"]), (["a"], ["a"]), (None, None)])
def test_a_cache_without_names_means_the_rules_that_allow_it(given, meant):
    rules = [SimpleNamespace(name=name, cache=RuleCache.from_rule(None, name == "b")) for name in "ab"]
    workflow = SimpleNamespace(rules=rules, workflow_settings=SimpleNamespace(cache=given))
    name_cached_rules(workflow)
    assert workflow.workflow_settings.cache == meant
