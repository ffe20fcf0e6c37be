"""The section on time and memory, made of benchmark files as Snakemake 9.27 writes them."""

import pytest

from kinoflow.report.section import Callout, Figure, Table, Text
from kinoflow.report.usage import Job, by_rule, duration, size, usage_section

LINE = (
    '{{"cpu_time": {cpu}, "h:m:s": "0:00:01", "io_in": 0.0, "io_out": 0.0, "max_pss": 5.5, "max_rss": {rss},'
    ' "max_uss": 3.1, "max_vms": 16.5, "mean_load": 0.0, "s": {s}{more}}}\n'
)
TSV = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


@pytest.fixture
def usage(tmp_path):
    def put(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    put("kitchen/probe/000.jsonl", LINE.format(cpu=2.5, rss=100, s=3, more=""))
    put("kitchen/probe/001.jsonl", LINE.format(cpu=1.5, rss=300.25, s=2, more=""))
    put("kitchen/render.jsonl", LINE.format(cpu=70, rss=90, s=40, more=""))
    put("kitchen/index.jsonl", LINE.format(cpu='"NA"', rss='"NA"', s=0.2, more=""))
    put("kitchen/any/x.jsonl", LINE.format(cpu=1, rss=1, s=1, more=', "rule_name": "fit <b>"'))
    put("salads/probe/000.tsv", f"{TSV}1.00\t0:00:01\t50.00\t1\t1\t1\t0\t0\t0\t0.50\n")
    put("salads/notes.txt", "no benchmark")
    return tmp_path


def table_of(section) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table))


def test_jobs_are_summed_up_by_rule_the_costliest_first(usage):
    rows = table_of(usage_section([usage / "kitchen", usage / "salads"])).rows
    assert rows == (
        ("render", 1, "1 min 10 s", "40.0 s", "40.0 s", "90 MiB"),
        ("probe", 3, "4.5 s", "6.0 s", "3.0 s", "300 MiB"),
        ("fit <b>", 1, "1.0 s", "1.0 s", "1.0 s", "1 MiB"),
        ("index", 1, None, "0.2 s", "0.2 s", None),
        ("all of these", 6, "1 min 16 s", "47.2 s", "40.0 s", "300 MiB"),
    )


def test_the_section_says_that_it_alone_may_differ(usage):
    section = usage_section([usage])
    assert section.title == "Time and memory"
    assert "This section, and no other, may differ between two runs" in section.blocks[0].text
    assert any(isinstance(block, Figure) for block in section.blocks)
    assert section.summary == "1 min 16 s of CPU time in 6 jobs."


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"cpu_time": 1}', '{"s": "soon"}', '{"s": NaN}', '{"s": 1, "max_rss": -3}']
)
def test_a_broken_benchmark_file_is_left_out_and_named(usage, content):
    (usage / "kitchen/probe/002.jsonl").write_text(content)
    section = usage_section([usage / "kitchen"])
    callout = next(block for block in section.blocks if isinstance(block, Callout))
    assert "002.jsonl" in callout.text
    assert table_of(section).rows[1][:2] == ("probe", 2)


def test_a_run_without_benchmarks_says_so(tmp_path):
    section = usage_section([tmp_path, tmp_path / "absent"])
    assert not any(isinstance(block, Table) for block in section.blocks)
    assert any(isinstance(block, Text) and "No job" in block.text for block in section.blocks)


def test_a_rule_that_ran_once_is_its_own_longest_job():
    (rule,) = by_rule([Job("a", 2.0, None, 7.0)])
    assert (rule.jobs, rule.wall, rule.cpu, rule.longest, rule.memory) == (1, 2.0, None, 2.0, 7.0)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (119.7, "2 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7290, "2 h 01 min"),
    ],
)
def test_time_spans_are_said_as_people_do(seconds, said):
    assert duration(seconds) == said


def test_memory_is_said_as_people_do():
    assert [size(310.4), size(1434)] == ["310 MiB", "1.4 GiB"]
