"""What a run asks of Snakemake itself. That runs exclude each other and keep their code: tests/workflow/test_runs.py."""

import pytest
from snakemake.cli import get_argument_parser
from snakemake.settings.types import SchedulingSettings

from kinoflow.run_state import lift_default_rate


@pytest.mark.parametrize(("words", "stays"), [([], False), (["--max-jobs-per-timespan", "5/1s"], True)])
def test_the_default_limit_of_jobs_per_second_goes_and_one_that_was_asked_for_stays(words, stays):
    given = get_argument_parser().parse_args(["--cores", "1", *words]).max_jobs_per_timespan
    settings = SchedulingSettings(max_jobs_per_timespan=given)
    lift_default_rate(settings)
    assert settings.max_jobs_per_timespan is (given if stays else None)
