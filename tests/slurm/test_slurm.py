"""One room through a real SLURM: submitted, cancelled, sent back into the queue, killed, continued; the bytes are a local run's."""

import re

import pytest
from tests.slurm.conftest import TARGET, asked, new_room, restarts
from tests.workflow.project import kill, wait_for

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
    assert "Partition=gpu TimeLimit=90 " in finished_job(room, "recognition_train")
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
    assert f"JOB {number} ON node1 CANCELLED" in said


def sent_back_and_left_alone(room) -> str:
    """Edit the sources while jobs wait, ask the training to go back into the queue, kill the main process; return the job."""
    process = room.submitting(TARGET)
    wait_for(lambda: room.queue(), SECONDS)
    jobs = "    with team(device) as processes:\n"
    room.edit("src/kinoflow/training/loop.py", jobs, '    raise SystemExit("edited")\n' + jobs)
    wait_for(lambda: room.queue("recognition_train", "RUNNING"), SECONDS)
    (number,) = room.queue("recognition_train")
    wait_for(lambda: " steps of " in room.log(), SECONDS)
    wait_for(lambda: asked("scancel", "--signal=URG", number) == "" and restarts(number) == 1, SECONDS)
    kill(process)
    room.edit("src/kinoflow/training/loop.py", '    raise SystemExit("edited")\n', "")
    return number


def nothing_starts_beside_the_jobs_that_are_left(room, number):
    room.submit(TARGET, refused=f"Jobs of a killed run are still at work: wait for them, or scancel {number}")
    assert room.queue() == [number]
    asked("scancel", number)
    wait_for(lambda: not room.queue(), SECONDS)


def finished_job(room, rule: str) -> str:
    """Return what SLURM says of the last job of a rule."""
    return " ".join(asked("scontrol", "show", "job", room.queue(rule, "all")[-1]).split())


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_training_three_time_limits_long_ends_with_the_uninterrupted_bytes(slurm, reference, tmp_path, make_video):
    pace = float(re.search(r"200 steps in ([\d.]+) s", reference.log())[1])
    steps = f"steps: {round(200 * 190 / pace)}"
    rooms = []
    for name in ("alone", "limited"):
        rooms.append(new_room(tmp_path / name, make_video))
        rooms[-1].edit("study.yaml", "steps: 200", steps)
    rooms[0].snakemake(TARGET)
    limits = ("recognition_train:runtime=1", "recognition_train:slurm_extra='--signal=URG@10 --open-mode=append'")
    rooms[1].submit("--retries", "0", TARGET, "--set-resources", *limits)
    turns = int(re.search(r"Restarts=(\d+)", finished_job(rooms[1], "recognition_train"))[1])
    assert turns >= 3
    assert rooms[1].results() == rooms[0].results()


TEAM = """
set-resources:
  recognition_train: {nodes: 2, tasks: 2, processes: 1, mpi: srun, gpu: 0, gres: "gpu:1", tasks_per_gpu: 0}
"""


@pytest.mark.long
def test_two_machines_train_in_one_job_what_one_process_does(room, slurm, tmp_path, make_video):
    from kinoflow.training.checkpoint import read

    alone = new_room(tmp_path / "alone", make_video)
    (room.place / "team").mkdir()
    (room.place / "team/config.yaml").write_text(TEAM)
    for each in (alone, room):
        each.edit("study.yaml", "steps: 200", "steps: 20")
    model = TARGET.replace("metrics.json", "model.safetensors")
    alone.snakemake(model)
    room.submit(model, "--profile", str(room.place / "team"))
    job = finished_job(room, "recognition_train")
    assert "NumNodes=2" in job and "gres:gpu:1" in job.replace("TresPerNode=gpu", "gres:gpu")
    one, two = (read(each.place / model)[0] for each in (alone, room))
    apart = max(float((one[name].double() - two[name].double()).abs().max()) for name in one)
    print("apart", apart)
    assert apart < 1e-4
