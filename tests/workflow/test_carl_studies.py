"""The studies of CARL and its rivals: their hyper-parameters are those of the spec's section 5, its figures those of section 7."""

from types import SimpleNamespace

import pytest
from tests.conftest import ROOT

from kinoflow import config
from kinoflow.layout import Layout, index_table
from kinoflow.runs import Runs
from kinoflow.tasks.alignment.measuring_options import AlignmentTestOptions

STUDIES = ROOT / "workflow" / "studies" / "carl"
NAMES = sorted(path.stem for path in STUDIES.glob("*.yaml"))

# Epochs, videos of a step (of four GPUs), frames of a view, scheme, region, overlap, contexts and stride; batches of GPUs
# times four, as the paper had it.
CARL = {"scheme": "time_augment", "region": 1.5, "overlap": 0.2, "contexts": 1}
CONV = {"scheme": "uniform", "contexts": 2, "context_stride": 15}
SCL, CONV_SCL = ("scl", "transformer", 3, True, True), ("scl", "conv", 0, True, True)
TCC, TCN = ("tcc", "conv", 0, False, False), ("tcn", "conv", 0, True, False)
LABELS = ("classification", "transformer", 3, False, False)
PARTS, ALL = (0.1, 0.5, 1.0), (1.0,)
TABLE = {  # (study, run): (algorithm, encoder, frozen, unit vectors, projection), epochs, batch, sampling, schedule, shares, chunk
    ("scl_pouring", "scl"): (SCL, 500, 4, CARL | {"frames": 240, "rule": "video"}, "cosine", PARTS, 1000),
    ("scl_penn", "scl"): (SCL, 300, 4, CARL | {"frames": 80, "rule": "video"}, "cosine", ALL, 1000),
    ("scl_finegym", "scl"): (SCL, 300, 4, CARL | {"frames": 240, "rule": "window"}, "cosine", PARTS, 6000),
    ("scl_k400", "scl"): (SCL, 10, 8, CARL | {"frames": 80, "overlap": 1.0, "rule": "video"}, "cosine", PARTS, 1000),
    ("scl_k400", "penn_from_k400"): (SCL, 300, 4, CARL | {"frames": 80, "rule": "video"}, "cosine", ALL, 1000),
    ("scl_conv_pouring", "scl_conv"): (CONV_SCL, 500, 4, CONV | {"frames": 40, "views": 2}, "cosine", PARTS, 25),
    ("scl_conv_penn", "scl_conv"): (CONV_SCL, 300, 8, CONV | {"frames": 20, "views": 2}, "cosine", PARTS, 25),
    ("scl_conv_finegym", "scl_conv"): (CONV_SCL, 100, 4, CONV | {"frames": 40, "views": 2}, "cosine", PARTS, 100),
    ("tcc_pouring", "tcc"): (TCC, 500, 8, CONV | {"frames": 40, "views": 1}, "constant", PARTS, 25),
    ("tcc_penn", "tcc"): (TCC, 300, 16, CONV | {"frames": 20, "views": 1}, "constant", PARTS, 25),
    ("tcc_finegym", "tcc"): ((*TCC[:3], True, False), 300, 8, CONV | {"frames": 40}, "constant", PARTS, 100),
    ("tcc_transformer_pouring", "tcc"): (
        *(("tcc", "transformer", 3, False, False), 500, 8, CARL | {"frames": 240, "overlap": 0, "views": 1}, "cosine"),
        *(PARTS, 1000),
    ),
    ("tcn_pouring", "tcn"): (TCN, 500, 8, CONV | {"frames": 40, "scheme": "tcn", "window": 5}, "constant", PARTS, 25),
    ("supervised_pouring", "supervised"): (
        *(LABELS, 500, 8, CARL | {"frames": 240, "overlap": 0, "rule": "video", "views": 1}, "cosine", ALL, 1000),
    ),
    ("supervised_finegym", "supervised"): (
        *(LABELS, 100, 8, CARL | {"frames": 240, "overlap": 0, "rule": "window", "views": 1}, "cosine", ALL, 6000),
    ),
}
LAYERS = {"scl_pouring": 2, "scl_k400": 2, "supervised_pouring": 2, "tcc_transformer_pouring": 2}  # others: 3
# The spec's table, quoted from memory there: percent (progress and tau as well).
PENN = {
    "classification.100.test": {68.1, 74.4, 78.7, 93.07},
    "progression.100.test": {38.3, 59.1, 62.5, 78.9, 91.8},
    "tau.test": {54.2, 64.1, 68.4, 74.8, 98.5},
    "retrieval.5": {77.8, 76.7, 79.1, 92.28},
    "retrieval.10": {77.5, 76.3, 79.0, 92.1},
    "retrieval.15": {77.3, 75.9, 78.9, 91.82},
}
PUBLISHED = {
    ("scl_penn", "scl"): PENN,
    ("scl_k400", "penn_from_k400"): PENN,
    ("scl_pouring", "scl"): {
        "classification.100.test": {89.5, 91.5, 92.8, 93.73},
        "progression.100.test": {80.4, 83.7, 80.5, 93.5},
        "tau.test": {85.2, 86.4, 85.6, 99.2},
    },
    ("scl_finegym", "scl"): {"probe.100.test": {20.0, 25.2, 27.8, 41.75}},
    ("scl_finegym", "scl288"): {"probe.100.test": {17.1, 20.8, 24.2, 35.23}},
}


@pytest.fixture(scope="module")
def studies():
    return {name: config.load([STUDIES / f"{name}.yaml"], {}, ROOT / "workflow/datasets") for name in NAMES}


def runs_of(studies):
    return {(name, run): options for name, study in studies.items() for run, options in study.alignment.items()}


def test_there_are_the_fourteen_and_their_hyper_parameters_are_the_spec_s(studies):
    assert len(NAMES) == 14
    runs = {key: options for key, options in runs_of(studies).items() if not key[1].endswith("288")}
    assert runs.keys() == TABLE.keys()
    for key, options in runs.items():
        made, epochs, batch, sampling, schedule, fractions, chunk = TABLE[key]
        network, training = options.network, options.training
        found = (options.algorithm, network.encoder, network.frozen, network.normalise, network.projection)
        assert (found, training.epochs, training.batch) == (made, epochs, batch), key
        assert {name: getattr(options.sampling, name) for name in sampling} == sampling, key
        assert (training.schedule, options.test.fractions, options.test.chunk) == (schedule, fractions, chunk), key
        intervals = (
            (2, 5) if key == ("scl_k400", "scl") else (50, 60)
        )  # epochs between validations, between checkpoints
        assert (training.validate_every, training.checkpoint_every) == intervals, key
        assert network.encoder != "transformer" or network.layers == LAYERS.get(key[0], 3), key


def test_what_all_columns_of_the_table_share(studies):
    for (name, run), options in runs_of(studies).items():
        training, network, augment = options.training, options.network, options.augment
        assert (training.optimiser, training.learning_rate, training.weight_decay) == ("adam", 1e-4, 1e-5)
        assert (training.clip, training.lr_at_batch, training.precision) == (10, None, "bfloat16")
        assert (network.backbone, network.embedding, network.dropout, augment.size) == ("resnet50", 128, 0.1, 224)
        assert (options.scl.temperature, options.scl.variance) == (0.1, 10)
        assert options.scl.negatives == ("batch_noself" if (name, run) == ("scl_k400", "scl") else "single_noself")
        assert (options.tcc.kind, options.tcc.similarity, options.tcc.normalise_time) == ("mse_var", "l2", True)
        assert (options.tcc.temperature, options.tcc.smoothing, options.tcc.variance_weight) == (0.1, 0.1, 0.001)
        assert options.tcn.regularise == 0.002
        every = {("scl_k400", "scl"): (2, 2000), ("tcc_penn", "tcc"): (50, 80)}.get((name, run), (50, 20))
        assert (training.validate_every, training.log_every) == every


def test_pictures_vary_as_each_algorithm_has_it(studies):
    for (name, _), options in runs_of(studies).items():
        augment = options.augment
        assert augment.flip and augment.crop == (options.algorithm == "scl")
        assert augment.evaluate == ("crop" if augment.crop else "resize")
        if options.algorithm == "scl":
            colours = (augment.strength, augment.jitter, augment.brightness, augment.contrast, augment.saturation)
            assert (*colours, augment.hue, augment.grey, augment.least) == (1, 0.8, 0.8, 0.8, 0.8, 0.2, 0.2, 0.8)
            assert augment.blur == ("none" if "finegym" in name else "once") and augment.order == "random"
        else:
            assert (round(augment.brightness * 255), augment.contrast, augment.jitter) == (32, 0.5, 1)
            assert (augment.saturation, augment.hue, augment.grey, augment.blur) == (0, 0, 0, "none")


def test_each_is_tested_as_its_dataset_is_and_so_while_it_trains(studies):
    strides = {"pouring": 5, "penn": 2}
    for (name, run), options in runs_of(studies).items():
        own = ("train",) if (name, run) == ("scl_k400", "scl") else ("validation",)
        assert options.test_on == own and options.validate_on == (own if own == ("validation",) else ())
        assert options.validation.model_dump() == options.test.model_dump(exclude={"pixels"})
        assert (options.sets == "task") == ("penn" in name or "penn" in run)
        stride = next((stride for part, stride in strides.items() if part in name or part in run), None)
        assert stride is None or options.test.stride == stride
        if "finegym" in name:
            rate = 0.1 if options.algorithm == "classification" else 50
            assert (options.test.tasks, options.test.probe.learning_rate) == (("probe",), rate)
            assert (options.test.probe.epochs, options.test.probe.batch) == (100, 10)
        assert run != "scl" or name != "scl_k400" or options.test.most == 100  # pairs of 20,000 clips are too many


def test_kinetics_is_trained_on_without_labels_and_tested_on_penn_s_actions(studies):
    study = studies["scl_k400"]
    run = study.alignment["scl"]
    (test,) = run.tests.values()
    assert study.frames[run.frames].dataset == "kinetics400" and study.frames[test.frames].dataset == "penn_action"
    assert (run.train_on, test.test_on, test.sets, test.stride) == (("train",), ("validation",), "task", 2)
    layout = Layout(study, {})
    runs, wildcards = Runs(layout), SimpleNamespace(run="scl", seed="0", test="-penn")
    main = SimpleNamespace(run="scl", seed="0", test="")
    penn, kinetics = (study.frames[name] for name in (test.frames, run.frames))
    assert runs.frames("alignment")(wildcards) == layout.frames[test.frames].files
    assert runs.frames("alignment")(main) == layout.frames[run.frames].files and penn.dataset != kinetics.dataset
    for table in ("videos", "segments"):
        assert runs.table("alignment", table)(wildcards) == index_table(layout.datasets["penn_action"], table)
        assert runs.table("alignment", table)(main) == index_table(layout.datasets["kinetics400"], table)
    assert (runs.splits("alignment")(wildcards), runs.splits("alignment")(main)) == ("validation", "train")
    assert (runs.apart("alignment")(wildcards), runs.apart("alignment")(main)) == ("--sets task", "")
    told = AlignmentTestOptions.model_validate_json(runs.test("alignment")(wildcards))
    assert (told.stride, told.fractions, told.chunk) == (2, (1.0,), 1000)


def test_gym288_differs_in_its_labels_alone(studies):
    for name in ("scl_finegym", "scl_conv_finegym", "tcc_finegym", "supervised_finegym"):
        one, two = studies[name].alignment.values()
        assert two == one.model_copy(update={"frames": "finegym288_360"}) and one.frames == "finegym360"


def test_published_figures_are_those_of_the_spec_and_unverified(studies):
    found = {}
    for name, study in studies.items():
        for figure in study.published:
            assert figure.recalled and figure.room == "alignment"
            found.setdefault((name, figure.run), {}).setdefault(figure.metric, set()).add(figure.value)
    assert found == PUBLISHED
