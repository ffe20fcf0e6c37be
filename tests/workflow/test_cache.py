"""Results kept between projects: what some project has computed with the same options, another one takes."""

import re
import shutil

import pytest
from tests.conftest import ROOT
from tests.workflow.project import Project

CACHED = ("pca_partial", "pca_fit", "pca_apply")


@pytest.fixture
def places(finished, tmp_path, monkeypatch) -> list[Project]:
    """Two projects that read the same folder of videos, with everything but components, and an empty cache."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(finished.place / "videos", tmp_path / "videos")
    found = [Project(shutil.copytree(finished.place, tmp_path / name, symlinks=True)) for name in "ab"]
    for project in found:
        project.edit("study.yaml", "path: videos", f"path: {tmp_path / 'videos'}")
        for folder in project.place.glob("data/*/features/*/pca"):
            shutil.rmtree(folder)
        shutil.rmtree(project.place / "logs/pca")
    return found


def components(project: Project) -> None:
    project.snakemake("--cache", "--until", "pca_apply")


def worked(project: Project) -> list[str]:
    """Return the logs of what was computed: of what the cache serves, Snakemake leaves an empty one."""
    return [path.name for path in project.place.glob("logs/pca/**/*.log") if path.stat().st_size]


@pytest.mark.long
def test_of_options_a_b_and_a_in_two_projects_the_last_is_served_from_the_cache(places, finished):
    first, second = places
    components(first)
    first.edit("study.yaml", "components: 2", "components: 1")
    components(first)
    second.edit("study.yaml", "components: 2", "components: 1")
    components(second)
    second.edit("study.yaml", "components: 1", "components: 2")
    components(second)
    made = {name: value for name, value in finished.products("data").items() if "/pca/" in name}
    there = second.products("data")
    assert made and {name: there[name] for name in made} == made
    assert len(worked(first)) == 2 * 5  # two shards' sums and projections, and the fit
    assert not worked(second)
    assert all(path.is_symlink() for path in second.place.glob("data/*/features/*/pca/*/00?.h5"))


@pytest.mark.long
def test_the_cache_tells_shards_and_other_videos_apart(places):
    first, second = places
    components(first)
    (second.place.parent / "videos/v1.mp4").unlink()
    components(second)
    logs = worked(second)
    assert "fit.log" in logs and len([name for name in logs if name.startswith("partial")]) == 1


def test_rules_whose_results_are_kept_repeat_their_wildcards_in_params_and_begin_from_nothing():
    """The cache knows params and no wildcards; a file that is carried on would stand in its way."""
    text = "".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    rules = {
        name: body for name, body in re.findall(r"^rule (\w+):\n((?:\n|    .*\n)+)", text, re.M) if "cache:" in body
    }
    assert {*rules} == {*CACHED}
    for body in rules.values():
        output = body.split("    output:\n")[1].split("    log:\n")[0]
        place = re.search(r'place="(.*)"', body.split("    params:\n")[1])[1]
        assert {*re.findall(r"{(\w+)", output)} == {*re.findall(r"{(\w+)", place)}
        assert "update(" not in output and "benchmark:" not in body
