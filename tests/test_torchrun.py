"""What is said of processes that torchrun has started."""

from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from kinoflow.torchrun import ended


def failure(exitcode: int) -> ProcessFailure:
    return ProcessFailure(0, 12, exitcode, "none")


def test_of_a_killed_process_it_is_said_which_and_how():
    assert ended({0: failure(1), 2: failure(-15), 3: failure(-9)}) == (
        1,
        "process 3 of this training was ended by SIGKILL; the same command continues",
    )


def test_a_process_that_fails_has_said_why_and_its_exit_status_counts():
    assert ended({1: failure(70)}) == (70, "")
    assert ended({0: failure(-15), 1: failure(1)}) == (1, "")
