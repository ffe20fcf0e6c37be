"""What the rules ask of a run: here, what tells a training how its features were made, so that the model reads videos."""

import json
from types import SimpleNamespace

import pytest
from tests.conftest import ROOT

from kinoflow import config
from kinoflow.config import merge
from kinoflow.layout import Layout
from kinoflow.run_sections import RunSections
from kinoflow.runs import Runs, joined
from kinoflow.study import Study

OWN = {
    "study": "trial",
    "datasets": {"mine": {"source": {"kind": "folder", "path": "/videos"}, "index": {"labels": "/labels.csv"}}},
    "frames": {"all": {"dataset": "mine"}},
    "features": {"net": {"from": "video", "dataset": "mine", "backbone": "resnet18", "weights": "/my net.pt"}},
    "actions": {"mine": {"dataset": "mine"}},
    "segmentation": {"direct": {"features": "net"}},
    "anticipation": {
        "direct": {"actions": "mine", "features": "net", "losses": {"cls_action": 1}},
        "pictures": {
            "actions": "mine",
            "frames": "all",
            "losses": {"cls_action": 1},
            "network": {"backbone": "vit_b_16", "weights": "/my net.pt"},
            "sampling": {"read": "frames"},
        },
    },
}


@pytest.fixture(scope="module")
def kitchen() -> Runs:
    """The runs of the embedded study, whose features are those of a run's network."""
    return Runs(Layout(config.load([ROOT / "config.yaml"], {}, ROOT / "workflow/datasets"), {}))


@pytest.fixture(scope="module")
def own() -> Runs:
    """Runs on features of a network with the user's weights."""
    return Runs(Layout(Study.model_validate(merge(OWN, {})), {"/my net.pt": "0123"}))


@pytest.mark.parametrize(
    "room, run, reduced",
    [("segmentation", "states8", True), ("anticipation", "taught", True), ("abstraction", "sam", False)],
)
def test_a_training_gets_what_made_its_features(kitchen, room, run, reduced):
    wildcards = SimpleNamespace(run=run, seed="1")
    assert kitchen.extractor(room)(wildcards) == ["results/kitchen/recognition/lsnet/seed-1/model.safetensors"]
    (frames,) = kitchen.frames_below(room)(wildcards)
    assert "/frames/" in frames and frames.endswith("000.h5")
    basis = kitchen.basis(room)(wildcards)
    assert [path.rpartition("/")[2] for path in basis] == ["basis.safetensors"] * reduced
    assert kitchen.extractor_flag(room)(wildcards, None) == ""


def test_weights_of_the_user_are_named_by_a_flag(own):
    wildcards = SimpleNamespace(run="direct", seed="0")
    assert own.extractor_flag("segmentation")(wildcards, None) == "--weights '/my net.pt'"
    assert own.extractor_flag("anticipation", "extractor")(wildcards, None) == "--extractor '/my net.pt'"
    flags = joined(own.extractor_flag("anticipation", "extractor"), own.start_flag("anticipation", "backbone"))
    assert flags(wildcards, None) == "--extractor '/my net.pt'" and own.start("anticipation")(wildcards) == ""
    pictures = SimpleNamespace(run="pictures", seed="0")
    assert flags(pictures, None) == "--backbone '/my net.pt'" and own.start("anticipation")(pictures) == "0123"
    assert json.loads(own.options("anticipation")(pictures))["network"]["weights"] == "none"  # known by its checksum
    assert own.extractor("segmentation")(wildcards) == own.frames_below("segmentation")(wildcards) == []


WORDS = {
    "study": "words",
    "actions": {"one": {"kind": "egtea", "path": "/egtea"}, "two": {"kind": "egtea", "split": 2, "path": "/egtea"}},
    "toys": {"few": {"classes": 8}},
    "teachers": {name: {"actions": "one", "seeds": [0, 1]} for name in ("a", "b")},
    "ensembles": {"both": {"teachers": ["a", "b"], "seeds": [0, 1]}},
    "anticipation": {
        "played": {"toy": "few", "losses": {"cls_action": 1, "distill": 1}, "seeds": [0, 1]},
        "single": {"actions": "one", "folder": "/rows", "teacher": "a", "losses": {"cls_action": 1, "distill": 1}},
        "many": {"actions": "one", "folder": "/rows", "teacher": ["a", "both"], "losses": {"ens_distill": 1}},
        "alone": {"actions": "one", "folder": "/rows", "losses": {"cls_action": 1}},
    },
    "fusions": {"all": {"runs": ["single", "alone"]}, "again": {"runs": ["played", "played"], "seeds": [1]}},
    "summaries": {"mean": {"room": "teachers", "runs": ["a", "b"], "seeds": [0, 1]}},
}


def test_students_learn_from_teachers_from_ensembles_of_them_or_from_a_toy_of_their_seed():
    layout = Layout(Study.model_validate(merge(WORDS, {})), {})
    runs = Runs(layout)

    def read(run: str, seed: int, file: str) -> list[str]:
        of_teachers = runs.records("anticipation", "taught_by")
        otherwise = of_teachers if file == "records.h5" else runs.table_of("anticipation", "actions", file)
        return runs.toy(file, otherwise)(SimpleNamespace(run=run, seed=str(seed)))

    assert read("single", 0, "records.h5") == ["results/words/teachers/a/seed-0/records.h5"]
    assert read("many", 0, "records.h5") == [
        "results/words/teachers/a/seed-0/records.h5",
        "results/words/ensembles/both/seed-0/records.h5",
    ]
    assert read("alone", 0, "records.h5") == []
    assert read("alone", 0, "actions.csv") == [f"data/{layout.actions['one'].folder}/actions.csv"]
    for file in ("records.h5", "actions.csv"):
        assert read("played", 1, file) == [f"data/{layout.toys['few'].folder}/seed-1/{file}"]
    both = SimpleNamespace(run="both", seed="1")
    assert runs.records("ensembles", "teachers")(both) == [
        f"results/words/teachers/{name}/seed-1/records.h5" for name in "ab"
    ]
    assert runs.table_of("ensembles", "actions", "actions.csv")(both) == read("alone", 0, "actions.csv")
    every, again = SimpleNamespace(run="all", seed="0"), SimpleNamespace(run="again", seed="1")
    assert runs.fused(every) == [f"results/words/anticipation/{name}/seed-0/scores.h5" for name in ("single", "alone")]
    tables = runs.toy("actions.csv", runs.table_of("fusions", "actions", "actions.csv"), "fusions")
    assert (tables(every), tables(again)) == (read("alone", 0, "actions.csv"), read("played", 1, "actions.csv"))
    assert runs.splits("fusions")(every) == "test"
    told = RunSections(layout, runs)
    one = SimpleNamespace(name="one")
    assert told.together("fusions")(one) == ["results/words/fusions/all/seed-0/metrics.json"]
    assert told.together("summaries")(one) == []  # the mean is of teachers
    assert json.loads(told.students(one))["together"] == {"fusions.all": "single + alone"}
    mean = runs.summed(SimpleNamespace(run="mean", seed="1"))
    assert mean == [f"results/words/teachers/{name}/seed-1/metrics.json" for name in "ab"]
    asked = runs.results()
    assert {"results/words/summaries/mean/seed-1/metrics.json", "results/words/ensembles/both/seed-0/metrics.json"} <= {
        *asked
    }


def test_published_language_models_are_known_by_their_content():
    values = merge(WORDS, {"teachers": {"a": {"encoder": {"model": "bert", "weights": "/bert base"}}}})
    runs = Runs(Layout(Study.model_validate(values), {"/bert base": "0123"}))
    a, b = (SimpleNamespace(run=name, seed="0") for name in "ab")
    assert (runs.start("teachers")(a), runs.start_flag("teachers")(a, None)) == ("0123", "--weights '/bert base'")
    assert (runs.start("teachers")(b), runs.start_flag("teachers")(b, None)) == ("", "")
    assert "bert base" not in runs.options("teachers")(a) and '"model": "bert"' in runs.options("teachers")(a)


def test_the_n_gram_beside_a_teacher_counts_the_corpus_that_the_teacher_has_learnt_from(kitchen):
    (corpus,) = kitchen.counted(SimpleNamespace(run="next", seed="0"))
    assert corpus.endswith("corpus.jsonl") and "/corpora/" in corpus
    words = {**WORDS["teachers"], "a": {"actions": "one", "recipes": "text", "seeds": [0, 1]}}
    own = Study.model_validate({**WORDS, "teachers": words, "corpora": {"text": {"path": "/recipes.jsonl"}}})
    assert Runs(Layout(own, {})).counted(SimpleNamespace(run="a", seed="0")) == []  # it knows the words alone


def test_the_section_on_students_compares_those_that_differ_in_a_teacher_alone():
    layout = Layout(config.load([ROOT / "workflow/studies/kitchen-claims.yaml"], {}, ROOT / "workflow/datasets"), {})
    told = json.loads(RunSections(layout, Runs(layout)).students(SimpleNamespace(name="kitchen0")))
    assert list(told["pairs"].items()) == [
        ("taught0", "alone0"),
        ("gap_taught", "gap_alone"),
    ]  # no control, the first of several
    assert told["policies"]["gap_taught"] == "ended" and told["policies"]["taught_mean"] == "order"
    assert told["teachers"]["shuffled"] == "next0" and told["teachers"]["taught_mean"] == "mean"
    assert "alone0" not in told["policies"] | told["teachers"]


def test_teachers_have_a_section_whether_there_are_students_or_not_and_means_over_students_are_none_of_it():
    def told(values: dict) -> RunSections:
        layout = Layout(Study.model_validate(values), {})
        return RunSections(layout, Runs(layout))

    assert told(merge(WORDS, {})).names() == ["55-teachers", "60-anticipation-one", "80-claims"]  # toys have no videos
    assert told({**WORDS, "anticipation": {}, "fusions": {}}).names() == ["55-teachers", "80-claims"]
    claims = Layout(config.load([ROOT / "workflow/studies/kitchen-claims.yaml"], {}, ROOT / "workflow/datasets"), {})
    sections = RunSections(claims, Runs(claims))
    assert claims.study.summaries and sections.words("summaries", "metrics.json") == []
    assert "55-teachers" in sections.names() and sections.words("teachers", "metrics.json")


def test_a_student_that_reads_frames_itself_has_no_features_to_tell_of(own):
    wildcards = SimpleNamespace(run="pictures", seed="0")
    for files in (own.frames_below, own.extractor, own.basis):
        assert files("anticipation")(wildcards) == []


def test_an_ensemble_of_clips_adds_the_scores_of_its_runs_and_stands_in_their_section():
    tests = {"tests": {"late": {"crops": 3}}, "seeds": [0, 1]}
    both = {"runs": ["tsm", "tsn"], "test": "late", "coefficients": [1, 0.5], "published": "label", "seeds": [1]}
    values = {
        "study": "trial",
        "datasets": OWN["datasets"],
        "recognition": {name: {"dataset": "mine", **tests} for name in ("tsm", "tsn")},
        "clip_fusions": {"both": both},
    }
    layout = Layout(Study.model_validate(merge(values, {})), {})
    runs, place = Runs(layout), SimpleNamespace(run="both", seed="1")
    assert runs.fused_clips(place) == [f"results/trial/recognition/{n}/seed-1/scores-late.h5" for n in ("tsm", "tsn")]
    assert json.loads(runs.options("clip_fusions", "runs", "test")(place)) == {
        "coefficients": [1.0, 0.5],
        "published": "label",
    }
    results = "results/trial/clip_fusions/both/seed-1"
    assert runs.published("clip_fusions")(place) == f"--published {results}/published.csv"
    assert f"{results}/metrics.json" in runs.results()
    told, mine = RunSections(layout, runs), SimpleNamespace(name="mine")
    assert told.names() == ["30-recognition-mine", "80-claims"]
    assert told.files("clip_fusions", "metrics.json")(mine) == [f"{results}/metrics.json"]
    assert json.loads(told.tests("recognition")(mine))["together"] == {"both": "tsm + 0.5 tsn (late)"}


def test_a_further_test_has_its_own_splits_and_file_for_a_server():
    further = {"server": {"protocol": "accurate", "published": "top5", "test_on": ["test"]}, "more": {"crops": 3}}
    run = {"dataset": "mine", "test_on": ["validation", "train"], "tests": further}
    values = {"study": "trial", "datasets": OWN["datasets"], "recognition": {"tsm": run}}
    runs = Runs(Layout(Study.model_validate(merge(values, {})), {}))
    plain, more, server = (SimpleNamespace(run="tsm", seed="2", test=name) for name in ("", "-more", "-server"))
    assert [runs.splits("recognition")(test) for test in (plain, more, server)] == ["validation train"] * 2 + ["test"]
    assert "test_on" not in runs.test("recognition")(server)
    place = "results/trial/recognition/tsm/seed-2/published-server.csv"
    assert runs.published("recognition")(server) == f"--published {place}"
    assert runs.published("recognition")(plain) == runs.published("recognition")(more) == ""


def test_predictions_of_others_trigger_by_what_they_hold_and_texts_by_being_asked_for(tmp_path):
    folder = tmp_path / "others"
    (folder / "of one").mkdir(parents=True)
    (folder / "of one/video.npy").write_bytes(b"1")
    run = {"features": "net", "outside": str(folder), "texts": True}
    values = merge(OWN, {"segmentation": {"direct": run, "plain": {"features": "net"}}})
    layout = Layout(Study.model_validate(values), {"/my net.pt": "0123"})
    test, plain = (SimpleNamespace(run=name, seed="2", test="-posterior") for name in ("direct", "plain"))
    runs = Runs(layout)
    assert runs.folder("segmentation", "outside", "outside")(test, None) == f"--outside {folder}"
    place = "results/trial/segmentation/direct/seed-2/texts-posterior"
    assert runs.texts("segmentation")(test) == f"--texts-folder {place}"
    asked = (
        runs.folder("segmentation", "outside", "outside")(plain, None),
        runs.content("segmentation", "outside")(plain),
    )
    assert (*asked, runs.texts("segmentation")(plain)) == ("", "", "")
    before = runs.content("segmentation", "outside")(test)
    (folder / "of one/video.npy").write_bytes(b"2")
    assert Runs(layout).content("segmentation", "outside")(test) != before
    (folder / "of one/video.npy").write_bytes(b"1")
    assert Runs(layout).content("segmentation", "outside")(test) == before
    assert Runs(layout, main=False).content("segmentation", "outside")(test) == ""  # its jobs need not look again
    trained = runs.options("segmentation", "test", "test_on")
    assert trained(test) == trained(plain)  # neither is for the training
