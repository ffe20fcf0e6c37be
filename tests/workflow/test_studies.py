"""The studies of published systems: their hyper-parameters are those of the spec, and their plans need no media."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.conftest import ROOT
from tests.workflow.project import Project

from kinoflow import config

STUDIES = ROOT / "workflow" / "studies"
NAMES = sorted(path.stem for path in STUDIES.glob("[lt]s*.yaml"))  # those of recognition

PLANNED = ("lsnet_ucf101", "tsm_something_v1")  # of videos, and of folders of pictures

# The spec's table e: segments, shift, dropout, rate @ batch, milestones, epochs, weight decay, partial norm.
TSM = (8, 8, 0.5, 0.02, 128, (20, 40), 50, 1e-4, False)
SOMETHING = (8, 8, 0.5, 0.01, 64, (20, 40), 50, 5e-4, False)
TUNED = (8, 8, 0.8, 0.001, 64, (10, 20), 25, 5e-4, True)
JESTER = (8, 8, 0.5, 0.0025, 16, (20, 40), 50, 1e-4, False)
TABLE = {
    ("tsm_kinetics", "tsm8"): TSM,
    ("tsm_kinetics", "tsm16"): (16, *TSM[1:]),
    ("tsm_kinetics", "tsm8_dense"): (*TSM[:5], (40, 80), 100, *TSM[7:]),
    ("tsm_kinetics", "tsm8_dense_nl"): (*TSM[:5], (40, 80), 100, *TSM[7:]),
    ("tsn_kinetics", "tsn5"): (5, None, *TSM[2:]),
    **{(f"tsm_something_v{v}", "tsm8"): SOMETHING for v in (1, 2)},
    **{(f"tsm_something_v{v}", "tsm16"): (16, *SOMETHING[1:]) for v in (1, 2)},
    **{(f"tsm_something_v{v}", "tsm8_resnet101"): SOMETHING for v in (1, 2)},
    ("tsm_ucf101", "tsm8"): TUNED,
    ("tsm_hmdb51", "tsm8"): TUNED,
    ("lsnet_jester", "lsnet"): JESTER,
    ("lsnet_jester", "tsm16"): (16, *JESTER[1:]),
    ("lsnet_kinetics", "gray"): (8, None, 0.5, 0.005, 32, (20, 40), 50, 1e-4, False),
    ("lsnet_ucf101", "lsnet"): (8, 8, 0.5, 0.0005, 32, (10, 20), 25, 1e-4, False),
}
WINDOWS = {("lsnet_jester", "lsnet"): (3, 0), ("lsnet_kinetics", "gray"): (3, 0), ("lsnet_ucf101", "lsnet"): (3, 1)}
# The spec's protocols (crops, clips, full resolution), and its table g by them, in percent; "recalled" ones marked.
ONE, TEN, DENSE, ACCURATE = (1, "one", False), (10, "one", False), (3, "dense", True), (3, "twice", True)
PUBLISHED = {
    ("tsn_kinetics", "tsn5"): {(68.8, ONE), (69.9, TEN), (70.6, DENSE)},
    ("tsm_kinetics", "tsm8"): {(71.2, ONE), (72.8, TEN), (73.2, TEN)},
    ("tsm_kinetics", "tsm16"): {(72.6, ONE), (73.7, TEN)},
    ("tsm_kinetics", "tsm8_dense"): {(74.1, DENSE)},
    ("tsm_kinetics", "tsm8_dense_nl"): {(75.6, DENSE)},
    ("tsm_something_v1", "tsm8"): {(45.6, ONE), (47.2, ACCURATE), (47.3, ACCURATE)},
    ("tsm_something_v1", "tsm16"): {(47.2, ONE), (48.4, ACCURATE)},
    ("tsm_something_v1", "tsm8_resnet101"): {(46.9, ONE), (48.7, ACCURATE)},
    ("tsm_something_v2", "tsm8"): {(61.2, ACCURATE), (61.7, ACCURATE)},
    ("tsm_something_v2", "tsm16"): {(63.1, ACCURATE)},
    ("tsm_something_v2", "tsm8_resnet101"): {(63.3, ACCURATE)},
    ("tsm_ucf101", "tsm8"): {(95.9, ONE)},
    ("tsm_hmdb51", "tsm8"): {(73.5, ONE)},
    ("lsnet_jester", "tsm16"): {(97.0, ONE)},
}
RECALLED = {47.3, 61.7, 95.9, 73.5, 97.0}


@pytest.fixture(scope="module")
def studies():
    return {name: config.load([STUDIES / f"{name}.yaml"], {}, ROOT / "workflow/datasets") for name in NAMES}


def test_every_run_of_a_published_system_has_the_spec_s_hyper_parameters(studies):
    found = {}
    for name, study in studies.items():
        for run, options in study.recognition.items():
            network, training = options.network, options.training
            found[name, run] = (
                *(options.sampling.segments, network.shift, network.dropout),
                *(training.learning_rate, training.lr_at_batch, training.milestones, training.epochs),
                *(training.weight_decay, network.partial_norm),
            )
    assert found == TABLE


def test_what_all_columns_of_the_table_share(studies):
    for name, study in studies.items():
        for run, options in study.recognition.items():
            training = options.training
            assert (training.momentum, training.clip, training.schedule, training.gamma) == (0.9, 20, "step", 0.1)
            assert training.batch == training.lr_at_batch and not training.nesterov and options.policy == "tsn"
            assert options.network.shift_place == "blockres" and options.network.consensus == "average"
            backbone = "resnet101" if "resnet101" in run else "resnet50"
            assert options.network.backbone == backbone
            wanted = ("gray", *WINDOWS[name, run]) if (name, run) in WINDOWS else ("rgb", 1, 0)
            assert (options.input.kind, options.input.frames, options.input.interval) == wanted


def test_dense_and_non_local_are_the_runs_that_say_so(studies):
    for study in studies.values():
        for run, options in study.recognition.items():
            assert (options.sampling.scheme == "dense") == ("dense" in run)
            assert options.network.non_local == run.endswith("_nl")
    assert studies["tsn_kinetics"].recognition["tsn5"].test.segments == 8


def test_published_figures_stand_beside_their_protocols(studies):
    found = {}
    for name, study in studies.items():
        for figure in study.published:
            run = study.recognition[figure.run]
            test = run.tests[figure.test] if figure.test else run.test
            protocol = (test.crops, test.clips, test.full_resolution)
            found.setdefault((name, figure.run), set()).add((figure.value, protocol))
            assert figure.recalled == (figure.value in RECALLED)
    assert found == PUBLISHED


def test_runs_of_two_studies_share_the_frames_of_a_dataset(studies):
    from kinoflow.layout import Layout

    folders = {name: Layout(study, {}) for name, study in studies.items() if "kinetics" in name}
    assert len(folders) == 3
    assert len({layout.frames["all256"].folder for layout in folders.values()}) == 1


def test_crosstask_has_the_settings_of_the_published_code():
    study = config.load([STUDIES / "crosstask-lhsmm.yaml"], {}, ROOT / "workflow/datasets")
    groups, run = study.pca["groups"], study.segmentation["lhsmm"]
    assert (groups.components, groups.by_block, groups.by_task, groups.fit_on) == (200, True, True, "all")
    assert not groups.whiten and not groups.standardise and run.rows.components == 100
    blocks = study.datasets["crosstask"].files.blocks
    assert {name: last - first for name, (first, last) in blocks.items()} == {"i3d": 1024, "resnet": 2048, "audio": 128}
    assert (run.model.states, run.model.rank, run.model.longest, run.learn, run.models) == (
        *(1024, 16, 20),
        *("unsupervised", "mixed"),
    )
    training, batches = run.training, run.batches
    assert (training.epochs, batches.videos, training.batch, training.learning_rate) == (4, 1, 5, 0.005)
    assert (training.clip, training.schedule, training.gamma, training.patience) == (10, "plateau", 0.2, 1)
    assert training.learning_rate * training.final_rate == pytest.approx(1e-4) and batches.carry
    assert (run.begin.means, run.begin.rows, run.labels.rule) == ("mean", "original", "overlap")
    assert (run.validate_on, run.test_on, run.train_on) == (("validation",), ("test",), ("train",))
    assert all(figure.value is None for figure in study.published)  # nobody has looked them up


@pytest.mark.parametrize("split", [1, 2, 3, 4])
def test_breakfast_has_four_splits_and_leaves_out_videos_of_another_length(split):
    given = {"datasets": {"breakfast": {"annotations": {"split": split}}}}
    study = config.load([STUDIES / "breakfast.yaml"], given, ROOT / "workflow/datasets")
    assert study.datasets["breakfast"].annotations.split == split
    for run in study.segmentation.values():
        assert (run.labels.background_names, run.labels.max_difference, run.models) == (("SIL",), 50, "per_task")


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """The jobs of dry runs in an empty folder without media; two at a time. (.ci/run plans every study.)"""
    place = tmp_path_factory.mktemp("studies") / "project"
    for part in ("src", "workflow", "envs"):
        shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", place / "Snakefile")
    project = Project(place)

    def plan(name: str) -> list[str]:
        work = place / "work" / name
        work.mkdir(parents=True)
        return project.snakemake("-n", "--configfile", str(place / f"workflow/studies/{name}.yaml"), cwd=work)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(PLANNED, pool.map(plan, PLANNED), strict=True))


def test_a_study_can_be_planned_without_media(plans, studies):
    for name, jobs in plans.items():
        (dataset,) = studies[name].datasets.values()
        counts = {rule: sum(job.split()[0] == rule for job in jobs) for rule in {job.split()[0] for job in jobs}}
        probe, frames = ("probe_pictures", "picture_frames") if dataset.content == "pictures" else ("probe", "frames")
        assert counts[probe] == counts[frames] == dataset.shards
        assert counts["annotations"] == counts["index"] == counts["claims"] == counts["report"] == 1
        assert counts["recognition_train"] == len(studies[name].recognition)
        assert counts["recognition_evaluate"] >= len(studies[name].recognition)


def test_a_run_says_which_folder_is_missing(tmp_path):
    for part in ("src", "workflow", "envs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", tmp_path / "Snakefile")
    words = ("--configfile", str(tmp_path / "workflow/studies/tsm_ucf101.yaml"))
    missing = f"datasets.ucf101.annotations.path: there is no folder {tmp_path}/media/ucf101/annotations"
    Project(tmp_path).snakemake(*words, refused=missing)
