"""One room through a real SLURM: submitted, cancelled, sent back into the queue, killed, continued; the bytes are a local run's."""

import re

import pytest
from tests.conftest import ROOT
from tests.slurm.conftest import MODEL, STEPS, TARGET, asked, new_room, restarts, sent, with_steps
from tests.workflow.project import kill, wait_for

from kinoflow.training.checkpoint import read

SECONDS = 300  # for what takes some ten on a quiet machine
SITE = """
default-resources: {slurm_partition: gpu}
set-resources:
  recognition_train: {mem_mb: 9000 * attempt, runtime: 90}
"""


@pytest.mark.timeout(1200)
def test_cancelled_edited_sent_back_and_killed_it_ends_with_the_bytes_of_a_local_run(room, reference):
    cancelled_jobs_fail_by_name(room)
    number = sent_back_and_left_alone(room)
    nothing_starts_beside_the_jobs_that_are_left(room, number)
    (room.place / "site").mkdir()
    (room.place / "site/config.yaml").write_text(SITE)
    ran = room.submit(TARGET, "--profile", str(room.place / "site"))
    assert ran == ["recognition_evaluate run=still seed=0", "recognition_train run=still seed=0"]
    assert "continues after step" in room.log()
    job = finished_job(room, "recognition_train")
    assert "Partition=gpu " in job and "TimeLimit=01:30:00" in job
    assert room.results() == reference.results()
    asks = ("--set-resources", "recognition_train:mem_mb=1", "--set-threads", "recognition_train=7")
    assert room.snakemake("-n", TARGET, *asks) == []


def cancelled_jobs_fail_by_name(room):
    process = room.submitting("--retries", "0", TARGET)
    wait_for(lambda: room.queue("shards"), SECONDS)
    (number,) = room.queue("shards")
    asked("scancel", number)
    assert process.wait(SECONDS) == 1
    said = (room.place / "said").read_text()
    assert "Error in group shards" in said and f"/{number}.log (check log file" in said
    assert room.queue("shards", "CANCELLED") == [number] and not room.queue()


def sent_back_and_left_alone(room) -> str:
    """Edit the sources while jobs wait, ask the training to go back into the queue, kill the main process; return the job.

    The queue is closed before, or the training might have come to its end before anybody looks.
    """
    process = room.submitting(TARGET)
    wait_for(lambda: room.queue(), SECONDS)
    jobs = "    with team(device) as processes:\n"
    room.edit("src/kinoflow/training/loop.py", jobs, '    raise SystemExit("edited")\n' + jobs)
    wait_for(lambda: room.queue("recognition_train", "RUNNING"), SECONDS)
    (number,) = room.queue("recognition_train")
    asked("scontrol", "update", "PartitionName=main", "State=DOWN")  # what runs goes on
    wait_for(lambda: " steps of " in room.log(), SECONDS)
    wait_for(lambda: sent("URG", number) and restarts(number) == 1, SECONDS)
    kill(process)
    room.edit("src/kinoflow/training/loop.py", '    raise SystemExit("edited")\n', "")
    return number


def nothing_starts_beside_the_jobs_that_are_left(room, number):
    room.submit(TARGET, refused=f"Jobs of a killed run are still at work: wait for them, or scancel {number}")
    assert room.queue() == [number]
    asked("scancel", number)
    wait_for(lambda: not room.queue(), SECONDS)
    asked("scontrol", "update", "PartitionName=main", "State=UP")


def finished_job(room, rule: str) -> str:
    """Return what SLURM says of the last job of a rule."""
    return " ".join(asked("scontrol", "show", "job", max(room.queue(rule, "all"), key=int)).split())


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_training_three_time_limits_long_ends_with_the_uninterrupted_bytes(reference, tmp_path):
    pace = float(re.search(rf"{STEPS} steps in ([\d.]+) s", reference.log())[1])
    steps = round(STEPS * 190 / pace)
    alone, limited = (with_steps(reference, tmp_path / name, steps) for name in ("alone", "limited"))
    alone.snakemake(MODEL)
    # SLURM looks at the clock every half minute and sends the signal up to that much earlier, so never before the job is at work
    limits = ("recognition_train:runtime=1", "recognition_train:slurm_extra='--signal=URG@1 --open-mode=append'")
    limited.submit("--retries", "0", MODEL, "--set-resources", *limits)
    assert int(re.search(r"Restarts=(\d+)", finished_job(limited, "recognition_train"))[1]) >= 3
    assert limited.results() == alone.results()


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_all_rooms_end_with_the_bytes_of_a_local_run(slurm, tmp_path, make_video):
    local, cluster = (new_room(tmp_path / name, make_video) for name in ("local", "cluster"))
    for each in (local, cluster):
        (each.place / "study.yaml").write_text((ROOT / "workflow/studies/kitchen-small.yaml").read_text())
    local.snakemake()
    cluster.submit()
    assert cluster.snakemake("-n") == []
    assert cluster.results() == local.results()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_out_of_memory_the_job_fails_by_name_and_the_same_command_with_more_continues(room, reference):
    less = ("--retries", "0", "--set-resources", "recognition_train:mem_mb=100")
    room.submit(TARGET, *less, refused="Error in rule recognition_train")
    (log,) = room.place.glob("logs/slurm/rule_recognition_train/*/*.log")
    assert "exceeded memory limit" in log.read_text()
    room.submit(TARGET)
    assert room.results() == reference.results()


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_training_whose_machine_fails_continues_on_another(room, reference):
    process = room.submitting(TARGET)
    wait_for(lambda: " steps of " in room.log(), SECONDS)
    (number,) = room.queue("recognition_train")
    failed = re.search(r" BatchHost=(\S+)", asked("scontrol", "show", "job", number))[1]
    for state in ("DOWN", "DRAIN"):  # its daemon lives and would report it back at once: so it gets no more jobs
        asked("scontrol", "update", f"NodeName={failed}", f"State={state}", "Reason=test")
    try:
        if process.wait(3 * SECONDS):
            room.submit(TARGET)
    finally:
        asked("scontrol", "update", f"NodeName={failed}", "State=RESUME")
    assert room.results() == reference.results()


TEAM = """
set-resources:
  recognition_train: {nodes: 2, tasks: 2, processes: 1, mpi: srun, gpu: 0, gres: "gpu:1", tasks_per_gpu: 0}
"""


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_machines_train_in_one_job_what_one_process_does(reference, tmp_path):
    alone, team = (with_steps(reference, tmp_path / name, 20) for name in ("alone", "team"))
    (team.place / "site").mkdir()
    (team.place / "site/config.yaml").write_text(TEAM)
    alone.snakemake(MODEL)
    assert team.submit(MODEL, "--profile", str(team.place / "site")) == ["recognition_train run=still seed=0"]
    job = finished_job(team, "recognition_train")
    assert "NumNodes=2" in job and "TresPerNode=gres:gpu:1" in job
    one, two = (read(each.place / MODEL)[0] for each in (alone, team))
    apart = max(float((one[name].double() - two[name].double()).abs().max()) for name in one)
    assert 0 < apart < 5e-4  # sums of float32 were added in another order: seen 7e-5
