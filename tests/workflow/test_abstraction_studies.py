"""The studies of set abstraction: their settings are the published ones, one kind of them reads the published files."""

from types import SimpleNamespace

import pytest
from tests.conftest import ROOT
from tests.tasks.abstraction import toys
from tests.tasks.abstraction.test_released import release
from tests.workflow.project import Project, new_project

from kinoflow import config
from kinoflow.layout import Layout
from kinoflow.run_sections import RunSections
from kinoflow.runs import Runs
from kinoflow.store import tables
from kinoflow.tasks.abstraction.options import AbstractionOptions

STUDIES = ROOT / "workflow" / "studies"
OWN, RELEASED = (
    ("abstraction-kinetics", "abstraction-moments"),
    ("abstraction-kinetics-released", "abstraction-moments-released"),
)
RUNS = {"cosine", "constant", "head", "classifier", "singles", "nodes_only"}


def load(name: str):
    return config.load([STUDIES / f"{name}.yaml"], {}, ROOT / "workflow/datasets")


@pytest.fixture(scope="module", params=[*OWN, *RELEASED])
def study(request):
    return load(request.param)


def test_every_run_has_the_published_settings(study):
    assert study.abstraction.keys() == RUNS
    for name, run in study.abstraction.items():
        training, network = run.training, run.network
        assert (network.bottleneck, network.width, network.input_relu) == (512, 2048, True)
        assert network.scales == ((1,) if name == "singles" else (1, 2, 3, 4))
        assert network.kind == (name if name in ("head", "classifier") else "sam")
        assert (training.epochs, training.steps, training.batch, training.learning_rate) == (60, None, 256, 1e-4)
        assert (training.optimiser, training.weight_decay, training.clip) == ("adam", 5e-4, 20)
        assert training.schedule == ("constant" if name == "constant" else "cosine") and training.per == "epoch"
        assert (training.final_rate, training.warm_up) == (0, 0)
        assert (run.embedding_weight, run.node_weight) == (0 if name == "nodes_only" else 1, 1)
        assert (run.target, run.log_lines, run.noise, run.scale) == ("node", 20, 0, "none")
        assert run.tests["outlier_last"].outlier_last


@pytest.mark.parametrize("name", OWN)
def test_without_the_published_files_taxonomy_vectors_and_sets_are_made(name):
    study = load(name)
    (taxonomy,), (sets,), (extractor,) = (part.values() for part in (study.taxonomies, study.sets, study.features))
    assert (taxonomy.source, taxonomy.nouns, taxonomy.semantics.width) == ("wordnet", True, 300)
    assert (sets.sampling.members, sets.sampling.start, sets.sampling.max_root_fraction) == (4, "video", 0.1)
    assert not set(sets.train_splits) & set(sets.test_splits)
    assert extractor.source == "video" and extractor.weights.startswith("torchvision:")


def test_published_values_that_nobody_could_look_up_are_given_as_such(study):
    figures = {figure.metric: figure for figure in study.published}
    assert len(figures) == len(study.published) == 15
    assert {figure.value for figure in figures.values()} == {None}
    assert all("not available" in figure.source for figure in figures.values())


@pytest.mark.parametrize("name", RELEASED)
def test_a_release_takes_the_place_of_features_sets_and_taxonomy(name):
    layout = Layout(load(name), {})
    runs, wildcards = Runs(layout), SimpleNamespace(run="cosine", seed="0")
    (folder,) = (f"data/{table.folder}" for table in layout.released.values())
    files = {file: runs.table_of("abstraction", "sets", file)(wildcards) for file in ("train.json", "odd.json")}
    assert files == {"train.json": [f"{folder}/train.json"], "odd.json": []}
    assert runs.shards("abstraction")(wildcards) == [f"{folder}/features.h5"]
    assert runs.table("abstraction", "segments")(wildcards) == f"{folder}/segments.csv"
    assert runs.taxonomy("abstraction", "vectors.safetensors")(wildcards) == f"{folder}/vectors.safetensors"
    subject = name.split("-")[1]
    assert runs.data("abstraction")(wildcards) == f"--dataset {subject}"
    assert runs.table_of("abstraction", "validation_sets", "test.json")(wildcards) == []
    evaluated = SimpleNamespace(run="cosine", seed="0", test="-outlier_last")
    lines = f"results/{name}/abstraction/cosine/seed-0/logs/cosine-outlier_last_summary.txt"
    assert runs.test_flags("abstraction")(evaluated, {}) == f" --summary {lines}"
    assert f"70-abstraction-{subject}" in RunSections(layout, runs).names()


def test_the_toy_study_has_the_options_of_the_tests_on_the_toy():
    study, wanted = load("abstraction-toy"), toys.options(rows=None)
    ours = study.abstraction["sam"].model_dump(include=set(AbstractionOptions.model_fields))
    assert ours == wanted.model_dump()
    (sets,) = study.sets.values()
    assert (sets.train, sets.test, sets.rankings, sets.odd, sets.sampling.start) == (8000, 1000, 200, 800, "node")


# ---------------------------------------------------------------- the real thing


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_video) -> Project:
    """A study of a small release of our own, finished."""
    place = tmp_path_factory.mktemp("released") / "project"
    project = new_project(place, make_video, count=0)
    release(place / "metadata", "kinetics")
    network = "network: {bottleneck: 8, width: 8}"
    training = "training: {epochs: null, steps: 4, batch: 4}"
    (place / "study.yaml").write_text(
        "study: given\nreleased: {theirs: {dataset: kinetics, metadata: metadata}}\n"
        f"abstraction: {{sam: {{released: theirs, {network}, {training}, test: {{resamples: 20}}}}}}\n"
        "published: [{room: abstraction, run: sam, metric: naming.exact.n4, value: null, source: not available to us}]\n"
    )
    project.snakemake()
    return project


@pytest.mark.long
def test_a_release_runs_to_its_report(project):
    metrics = tables.read_csv(project.place / "results/given/metrics.csv", ("metric",))
    assert any(row["metric"] == "naming.exact.n4" for _, row in metrics)
    page = (project.place / "results/given/report.html").read_text()
    assert "Abstraction: theirs" in page and "not available to us (not verified)" in page
    assert str(project.place) not in page


@pytest.mark.long
def test_another_file_of_the_release_makes_all_again_and_a_moved_folder_nothing(project):
    assert project.plan() == []
    project.edit("study.yaml", "metadata: metadata", "metadata: moved")
    (project.place / "metadata").rename(project.place / "moved")
    assert project.plan() == []
    with open(project.place / "moved" / "kinetics_train_listfile.txt", "a") as file:
        file.write("\n")
    assert "abstraction_released" in project.plan()
