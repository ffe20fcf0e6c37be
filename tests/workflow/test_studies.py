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
WORDS = ("egtea_text", "anticipation_toy", "avt_epic100_frames")  # of words, and of actions in a dataset without labels
TEXTS = ("epic55_text", "epic55_history", "epic100_text", "egtea_text", "persons_text")

# The spec's table e: segments, shift, dropout, rate @ batch, milestones, epochs, weight decay, partial norm.
TSM = (8, 8, 0.5, 0.02, 128, (20, 40), 50, 1e-4, False)
SOMETHING = (8, 8, 0.5, 0.01, 64, (20, 40), 50, 5e-4, False)
TUNED = (8, 8, 0.8, 0.001, 64, (10, 20), 25, 5e-4, True)
LSNET = (8, 8, 0.5, 0.005, 32, (20, 40), 50, 1e-4, False)
JESTER = (8, 8, 0.5, 0.0025, 16, (20, 40), 50, 1e-4, False)
TABLE = {
    ("tsm_kinetics", "tsm8"): TSM,
    ("tsm_kinetics", "tsm16"): (16, *TSM[1:]),
    ("tsm_kinetics", "tsm8_dense"): (*TSM[:5], (40, 80), 100, *TSM[7:]),
    ("tsm_kinetics", "tsm8_dense_nl"): (*TSM[:5], (40, 80), 100, *TSM[7:]),
    ("tsm_kinetics", "tsm8_dense_resnext101"): (*TSM[:5], (40, 80), 100, *TSM[7:]),
    ("tsm_kinetics", "tsm8_dense_mobilenet"): (*TSM[:5], (40, 80), 100, *TSM[7:]),
    ("tsm_kinetics_flow", "tsm8_flow"): TSM,
    ("tsn_kinetics", "tsn5"): (5, None, *TSM[2:]),
    **{(f"tsm_something_v{v}", "tsm8"): SOMETHING for v in (1, 2)},
    **{(f"tsm_something_v{v}", "tsm16"): (16, *SOMETHING[1:]) for v in (1, 2)},
    **{(f"tsm_something_v{v}", "tsm8_resnet101"): SOMETHING for v in (1, 2)},
    **{(f"tsm_something_v{v}", "tsn8"): (8, None, *SOMETHING[2:]) for v in (1, 2)},
    **{(f"lsnet_something_v{v}", "lsnet"): LSNET for v in (1, 2)},
    **{(f"tsm_{name}", "tsm8"): TUNED for name in ("ucf101", "hmdb51")},
    **{(f"tsm_{name}", "tsn8"): (8, None, *TUNED[2:]) for name in ("ucf101", "hmdb51")},
    ("lsnet_jester", "lsnet"): JESTER,
    ("lsnet_jester", "tsm16"): (16, *JESTER[1:]),
    ("lsnet_jester", "tsn8"): (8, None, *JESTER[2:]),
    ("lsnet_kinetics", "gray"): (8, None, 0.5, 0.005, 32, (20, 40), 50, 1e-4, False),
    ("lsnet_ucf101", "lsnet"): (8, 8, 0.5, 0.0005, 32, (10, 20), 25, 1e-4, False),
}
WINDOWS = {("lsnet_jester", "lsnet"): (3, 0), ("lsnet_kinetics", "gray"): (3, 0), ("lsnet_ucf101", "lsnet"): (3, 1)}
WINDOWS |= {(f"lsnet_something_v{v}", "lsnet"): (3, 0) for v in (1, 2)}
BACKBONES = {"resnet101": "resnet101", "resnext101": "resnext101_32x8d", "mobilenet": "mobilenet_v2"}
# The spec's protocols (crops, clips, full resolution), and its table g by them, in percent; "recalled" ones marked.
ONE, TEN, DENSE, ACCURATE = (1, "one", False), (10, "one", False), (3, "dense", True), (3, "twice", True)
THREE = (3, "one", True)
PUBLISHED = {
    ("tsn_kinetics", "tsn5"): {(68.8, ONE), (69.9, TEN), (70.6, DENSE)},
    ("tsm_kinetics", "tsm8"): {(71.2, ONE), (72.8, TEN), (73.2, TEN)},
    ("tsm_kinetics", "tsm16"): {(72.6, ONE), (73.7, TEN)},
    ("tsm_kinetics", "tsm8_dense"): {(74.1, DENSE)},
    ("tsm_kinetics", "tsm8_dense_nl"): {(75.6, DENSE), (74.3, DENSE)},
    ("tsm_kinetics", "tsm8_dense_resnext101"): {(76.3, DENSE)},
    ("tsm_kinetics", "tsm8_dense_mobilenet"): {(69.5, DENSE), (68.7, DENSE)},
    ("tsm_kinetics_flow", "tsm8_flow"): {(55.7, ONE), (79.5, ONE)},
    ("tsm_something_v1", "tsm8"): {(45.6, ONE), (47.2, ACCURATE), (47.3, ACCURATE)},
    ("tsm_something_v1", "tsm16"): {(47.2, ONE), (48.4, ACCURATE)},
    ("tsm_something_v1", "tsm8_resnet101"): {(46.9, ONE), (48.7, ACCURATE)},
    ("tsm_something_v2", "tsm8"): {(61.2, ACCURATE), (61.7, ACCURATE), (62.7, THREE)},
    ("tsm_something_v1", "tsn8"): {(20.5, ACCURATE)},
    ("tsm_something_v2", "tsn8"): {(30.4, ACCURATE)},
    ("tsm_something_v2", "tsm16"): {(63.1, ACCURATE)},
    ("tsm_something_v2", "tsm8_resnet101"): {(63.3, ACCURATE)},
    ("tsm_ucf101", "tsm8"): {(95.9, ONE)},
    ("tsm_hmdb51", "tsm8"): {(73.5, ONE)},
    ("tsm_ucf101", "tsn8"): {(91.7, ONE)},
    ("tsm_hmdb51", "tsn8"): {(64.7, ONE)},
    ("lsnet_jester", "tsm16"): {(97.0, ONE)},
    ("lsnet_jester", "tsn8"): {(83.9, ONE)},
}
RECALLED = {47.3, 61.7, 95.9, 73.5, 97.0, 20.5, 30.4, 91.7, 64.7, 83.9}


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
            assert options.network.backbone == BACKBONES.get(run.rpartition("_")[2], "resnet50")
            wanted = ("flow", 5, 0) if run.endswith("_flow") else ("rgb", 1, 0)
            wanted = ("gray", *WINDOWS[name, run]) if (name, run) in WINDOWS else wanted
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
    assert len(folders) == 4
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
    assert run.follow_on == run.test_on
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
        return dict(zip(PLANNED + WORDS, pool.map(plan, PLANNED + WORDS), strict=True))


def test_a_study_can_be_planned_without_media(plans, studies):
    for name, jobs in ((name, plans[name]) for name in PLANNED):
        (dataset,) = studies[name].datasets.values()
        counts = {rule: sum(job.split()[0] == rule for job in jobs) for rule in {job.split()[0] for job in jobs}}
        probe, frames = ("probe_pictures", "picture_frames") if dataset.content == "pictures" else ("probe", "frames")
        assert counts[probe] == counts[frames] == dataset.shards
        assert counts["annotations"] == counts["index"] == counts["claims"] == counts["report"] == 1
        assert counts["recognition_train"] == len(studies[name].recognition)
        assert counts["recognition_evaluate"] >= len(studies[name].recognition)


def counted(jobs: list[str]) -> dict[str, int]:
    return {rule: sum(job.split()[0] == rule for job in jobs) for rule in {job.split()[0] for job in jobs}}


def test_a_study_of_words_can_be_planned_without_their_files(plans):
    assert counted(plans["egtea_text"]) == {
        **{"action_sequences": 3, "teacher_train": 18, "teacher_records": 18, "anticipation_summary": 6},
        **dict.fromkeys(("teachers_section", "claims", "report"), 1),
    }
    toy = {"anticipation_toy": 6, "anticipation_train": 21, "anticipation_evaluate": 21, "claims": 1, "report": 1}
    assert counted(plans["anticipation_toy"]) == toy


def test_students_read_frames_of_a_dataset_whose_labels_stand_in_the_actions_and_are_added(plans):
    found = counted(plans["avt_epic100_frames"])
    assert found["frames"] == found["probe"] == 32 and not {"annotations", "features"} & found.keys()
    once = ("action_sequences", "anticipation_fuse", "claims", "anticipation_section", "report")
    assert {rule: found[rule] for rule in once} == dict.fromkeys(once, 1)
    assert found["anticipation_train"] == found["anticipation_evaluate"] == 3


def test_teachers_of_words_are_tested_on_what_chose_nothing_and_stand_beside_their_own_n_gram():
    for name in TEXTS:
        study = config.load([STUDIES / f"{name}.yaml"], {}, ROOT / "workflow/datasets")
        beside = {claim.treatment for claim in study.claims.values() if claim.against.startswith("ngram.")}
        for run, options in study.teachers.items():
            assert not set(options.train_on) & set(options.test_on)
            assert options.validate_on == options.test_on  # watched: every epoch, and before the first step ...
            assert (options.training.keep, options.training.schedule) == (
                "last",
                "one_cycle",
            )  # ... but choosing nothing
            summed = {each for each, summary in study.summaries.items() if run in summary.runs}
            assert name == "epic55_history" or ({run} | summed) & beside


def test_histories_have_the_lengths_and_policies_of_the_claim():
    study = config.load([STUDIES / "epic55_history.yaml"], {}, ROOT / "workflow/datasets")
    read = {(options.history.policy, options.history.last) for options in study.teachers.values()}
    assert read == {(p, n) for p in ("order", "started", "ended") for n in (1, 2, 3, 5, 8, 10, 15, 20)}
    assert all(options.seeds == (0, 1, 2) for options in study.teachers.values())
    others = {options.model_dump_json(exclude={"history"}) for options in study.teachers.values()}
    first = config.load([STUDIES / "epic55_text.yaml"], {}, ROOT / "workflow/datasets").teachers["order"]
    assert others == {first.model_dump_json(exclude={"history"})}


# The spec's table e, rates and batches times the GPUs of AVT: heads, layers, dropout, feat, past, batch, epochs, warm-up, rate, decay,
# frames a second, gap, window.
AVT = {
    ("avt_epic55", "tsn"): (8, 12, 0.8, 2, None, 128, 20, 5, 2e-5, 1e-4, 2, 1, 5),
    ("avt_epic55", "ircsn"): (8, 12, 0.8, 2, None, 128, 20, 0, 2e-5, 1e-4, 2, 1, 5),
    ("avt_epic55", "ircsn_taught"): (8, 12, 0.8, 2, None, 32, 20, 0, 5e-6, 1e-4, 2, 1, 5),
    ("avt_epic55", "tsn_recall"): (4, 6, 0.2, 1, 1, 128, 50, 0, 2e-3, 1e-6, 1, 1, 10),
    ("avt_egtea", "tsn"): (4, 2, 0.8, 1, 0.1, 128, 15, 0, 2e-3, 1e-6, 1, 0.5, 10),
    ("avt_egtea", "tsn_taught"): (4, 2, 0.8, 1, 0.1, 64, 15, 0, 1e-3, 1e-6, 1, 0.5, 10),
    ("avt_epic100", "tsn"): (4, 6, 0.2, 1, 1, 128, 50, 20, 2e-3, 1e-6, 1, 1, 10),
    ("avt_epic100", "ircsn"): (2, 8, 0.2, 1, 1, 128, 50, 5, 2e-3, 1e-6, 1, 1, 10),
    ("avt_epic100", "objects"): (4, 6, 0.2, 1, 1, 128, 50, 20, 2e-3, 1e-6, 1, 1, 10),
    ("avt_epic100", "flow"): (4, 6, 0.2, 1, 1, 128, 50, 20, 2e-3, 1e-6, 1, 1, 10),
    ("avt_epic100_frames", "vit"): (4, 6, 0.2, 1, 1, 96, 50, 20, 3.2e-3, 1e-6, 1, 1, 10),
    ("avt_epic100_frames", "vit_longer"): (4, 6, 0.2, 1, 1, 96, 70, 20, 3.2e-3, 1e-6, 1, 1, 15),
    ("avt_epic100_frames", "objects"): (4, 6, 0.2, 1, 1, 128, 50, 20, 2e-3, 1e-6, 1, 1, 10),
    ("avt_epic55_frames", "vit"): (4, 6, 0.8, 1, 1, 96, 35, 5, 3.2e-3, 1e-4, 1, 1, 20),
    ("avt_egtea_frames", "vit"): (4, 2, 0.2, 1, 0.1, 96, 10, 5, 0.016, 1e-6, 1, 0.5, 10),
    ("avt_egtea_frames", "vit_one"): (4, 2, 0.2, 1, 0.1, 3, 10, 5, 5e-4, 1e-6, 1, 0.5, 10),
    ("avt_egtea_frames", "vit_taught"): (4, 2, 0.2, 1, 0.1, 3, 10, 5, 5e-4, 1e-6, 1, 0.5, 10),
    **{("avt_salads_frames", f"vit{k}"): (8, 8, 0.8, 1, 1, 64, 200, 20, 1.6e-5, 1e-4, 0.5, 1, 20) for k in range(1, 6)},
    **{("avt_salads_frames", f"taught{k}"): (8, 8, 0.8, 1, 1, 2, 200, 20, 5e-7, 1e-4, 0.5, 1, 20) for k in range(1, 6)},
}


@pytest.mark.parametrize(("name", "run"), AVT, ids="-".join)
def test_students_have_the_published_settings(name, run):
    study = config.load([STUDIES / f"{name}.yaml"], {}, ROOT / "workflow/datasets")
    options = study.anticipation[run]
    network, training, sampling, losses = options.network, options.training, options.sampling, options.losses
    found = (network.heads, network.layers, network.dropout, losses["feat"], losses.get("past_cls_action"))
    found += (training.batch, training.epochs, training.warm_up, training.learning_rate, training.weight_decay)
    assert found + (sampling.rate, sampling.gap, sampling.observed) == AVT[name, run]
    steps = 15 if run == "vit_longer" else 10
    assert (network.width, network.initial, sampling.steps, sampling.read) == (2048, "published", steps, "frames")
    assert (options.window, options.noise, training.clip) == ("gap", 0, None)
    adam = name in ("avt_epic55", "avt_salads_frames") and run != "tsn_recall"
    assert training.optimiser == ("adam" if adam else "sgd") and training.momentum == 0.9
    taught = "taught" in run
    assert options.schedule == ("kd" if taught or run == "vit_one" else "training")
    assert bool(losses.get("distill")) == taught
    if taught:
        distill = (options.distill.kind, options.distill.temperature, losses["distill"], options.distill.reduction)
        full = ("full", 10, 10 if name == "avt_salads_frames" else 150)
        wanted = ("topk", 5, 20) if name == "avt_epic55" else full
        assert distill == (*wanted, "elementmean") and options.distill.k == 50
    if options.frames:
        pictures, test = options.pictures, options.test
        assert (pictures.short, pictures.drawn, pictures.flip) == (248, (248, 280), 0.5)
        assert (network.backbone, network.size, network.train_backbone) == ("vit_b_16", 224, True)
        assert (test.crops, test.mirrored) == (3, True)


@pytest.mark.parametrize(("name", "wanted"), [("avt_epic55", {"tsn_recall": 13.5}), ("avt_epic55_frames", {})])
def test_published_recalls_stand_beside_the_runs_tuned_for_recall(name, wanted):
    rows = config.load([STUDIES / f"{name}.yaml"], {}, ROOT / "workflow/datasets").published
    recalls = {row.run: row.value for row in rows if row.metric == "action.recall5_ms_or"}
    assert recalls == wanted and not any(row.run in recalls for row in rows if row.metric != "action.recall5_ms_or")


def test_colours_and_objects_are_added_with_the_published_weights():
    study = config.load([STUDIES / "avt_epic100_frames.yaml"], {}, ROOT / "workflow/datasets")
    assert (study.fusions["plus"].runs, study.fusions["plus"].coefficients) == (("vit", "objects"), (2.5, 0.5))


def test_the_toy_has_the_settings_of_the_spec_and_its_many_classes_are_five_hundred():
    study = config.load([STUDIES / "anticipation_toy.yaml"], {}, ROOT / "workflow/datasets")
    forty, many = study.toys["forty"], study.toys["many"]
    assert (forty.classes, forty.text, forty.length, forty.train, forty.test) == (40, 3000, 12, 600, 1500)
    assert many.classes >= 500
    both = [study.anticipation[name] for name in ("many_all", "many_best")]
    assert [run.distill.kind for run in both] == ["full", "topk"] and both[1].distill.k == 50
    assert (
        both[0].losses == both[1].losses
    )  # the same weight: the mean over rows does not depend on the classes compared
    assert all(run.distill.reduction == "batchmean" for run in both)


def test_a_run_says_which_folder_is_missing(tmp_path):
    for part in ("src", "workflow", "envs"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", tmp_path / "Snakefile")
    words = ("--configfile", str(tmp_path / "workflow/studies/tsm_ucf101.yaml"))
    missing = f"datasets.ucf101.annotations.path: there is no folder {tmp_path}/media/ucf101/annotations"
    Project(tmp_path).snakemake(*words, refused=missing)
