"""A study whose parts do not fit together is refused before anything runs, in one sentence that names the key."""

import re

import pytest

from kinoflow.config import merge
from kinoflow.labels_seen import labels_seen
from kinoflow.layout import Layout
from kinoflow.shard_rules import ShardRules
from kinoflow.study import Study, dataset_of, reads

BASE = {
    "study": "trial",
    "datasets": {"mine": {"source": {"kind": "kitchen"}}, "other": {"source": {"kind": "folder", "path": "/videos"}}},
    "frames": {"small": {"dataset": "mine", "size": 32}},
    "recognition": {"known": {"frames": "small", "seeds": [0, 1], "network": {"backbone": "small"}}},
    "features": {
        "rows": {"frames": "small", "backbone": "trained", "weights": {"run": "known", "seed": "each"}},
        "drawn": {"frames": "small"},
    },
    "pca": {"few": {"features": "rows", "components": 2}},
    "segmentation": {"steps": {"features": "few", "seeds": [0, 1]}},
    "alignment": {"same": {"frames": "small", "weights": {"run": "known", "seed": "each"}}},
    "actions": {"steps": {"dataset": "mine"}},
    "corpora": {"recipes": {"dataset": "mine"}},
    "language": {"words": {"corpus": "recipes"}},
    "teachers": {"next": {"actions": "steps", "language": "words", "recipes": "recipes"}},
    "anticipation": {"taught": {"actions": "steps", "features": "few", "teacher": "next"}},
    "taxonomies": {"tree": {"dataset": "mine"}},
    "sets": {"some": {"taxonomy": "tree"}},
    "abstraction": {"sam": {"features": "rows", "sets": "some"}},
}


def study(**changed) -> Study:
    return Study.model_validate(merge(BASE, changed))


def test_a_study_of_all_rooms_knows_what_each_run_reads():
    found = study()
    assert reads(found, "recognition", "known") == ("frames", "small")
    assert reads(found, "segmentation", "steps") == ("pca", "few")
    assert reads(found, "abstraction", "sam") == ("features", "rows")
    rooms = ("recognition", "segmentation", "alignment", "anticipation", "abstraction")
    runs = [(room, name) for room in rooms for name in getattr(found, room)]
    assert {dataset_of(found, *reads(found, room, name)) for room, name in runs} == {"mine"}


def test_seeds_of_the_study_are_those_of_runs_that_name_none():
    found = study(seeds=[3, 4], recognition={"known": {"seeds": [0, 3, 4]}}, segmentation={"steps": {"seeds": [0]}})
    assert found.recognition["known"].seeds == (0, 3, 4)
    assert found.segmentation["steps"].seeds == (0,)
    assert found.teachers["next"].seeds == found.language["words"].seeds == found.abstraction["sam"].seeds == (3, 4)


def test_what_labels_the_networks_of_features_had_seen_is_said():
    outside = {"source": {"kind": "folder", "path": "/features"}, "content": "features"}
    found = study(
        datasets={"mine": {"source": {"kind": "kitchen"}}, "rows": outside},
        features={
            "published": {"frames": "small", "backbone": "resnet18", "weights": "torchvision:DEFAULT"},
            "given": {"frames": "small", "weights": "/weights.pth"},
            "outside": {"from": "files", "dataset": "rows"},
        },
    )
    assert labels_seen(found, "rows") == "action (the recognition run known)"
    assert labels_seen(found, "drawn") == "none (weights as they are drawn)"
    assert labels_seen(found, "published") == "those of the published weights torchvision:DEFAULT"
    assert labels_seen(found, "given") == "unknown (a file's weights)"
    assert labels_seen(found, "outside") == "unknown (features from outside)"


def test_what_an_alignment_run_had_seen_is_what_it_began_with_and_was_told():
    place = {"room": "alignment", "seed": "each"}
    found = study(
        alignment={
            "whole": {"frames": "small"},
            "parts": {"frames": "small", "clips": "verb", "initial": {"room": "alignment", "run": "whole"}},
            "phases": {"frames": "small", "algorithm": "classification"},
        },
        features={
            name: {"frames": "small", "backbone": "trained", "weights": {**place, "run": name}}
            for name in ("same", "whole", "parts", "phases")
        },
    )
    told = {name: labels_seen(found, name) for name in ("same", "whole", "parts", "phases")}
    drawn = "none (weights as they are drawn)"
    assert told["same"] == "action (the recognition run known) (the alignment run same)"
    assert told["whole"] == f"{drawn} (the alignment run whole)"
    assert told["parts"] == f"{told['whole']}, where segments begin and end (the alignment run parts)"
    assert told["phases"] == f"{drawn}, phases (the alignment run phases)"


def test_a_network_along_whole_videos_is_that_of_a_room_which_has_one():
    found = study(
        features={
            "aligned": {"frames": "small", "backbone": "trained", "weights": {"room": "alignment", "run": "same"}}
        }
    )
    assert {name: run.trained_by for name, run in found.features.items()} == {
        **{"rows": "recognition", "drawn": "", "aligned": "alignment"},
    }
    shards = ShardRules(Layout(found, {}), None, None)
    hashes = [shards.hashes("features", "frames", trained=room) for room in ("", "recognition", "alignment")]
    assert len(set(hashes)) == 3 and hashes[1].count("|") == 1  # of two seeds of the recognition run


UNLABELLED = {  # runs that read videos without any label
    "frames": {"plain": {"dataset": "other", "size": 32}},
    "features": {"plain": {"frames": "plain"}},
    "segmentation": {"free": {"features": "plain", "model": {"states": 4}}},
    "alignment": {"free": {"frames": "plain"}},
}


def test_what_learns_without_labels_reads_videos_that_have_none():
    found = study(**UNLABELLED)
    assert dataset_of(found, *reads(found, "segmentation", "free")) == "other"
    ordered = {"constraints": {"ordering": "task"}, "labels": {"background": "removed"}, "model": {"states": 0}}
    assert study(**merge(UNLABELLED, {"segmentation": {"free": {**ordered, "steps": "steps.csv"}}}))
    assert study(**merge(UNLABELLED, {"alignment": {"free": {"algorithm": "tcc", "validate_on": ["test"]}}}))


@pytest.mark.parametrize(
    "room, changed, why",
    [
        ("segmentation", {"learn": "gradient", "model": {"states": 0}}, "learn: gradient"),
        ("segmentation", {"model": {"states": 0}}, "model.states: 0"),
        (
            "segmentation",
            {"model": {"states": 0}, "constraints": {"ordering": "video"}},
            "constraints.ordering: video",
        ),
        (
            "segmentation",
            {"tests": {"more": {"constraints": {"narration": "drawn"}}}},
            "tests.more.constraints.narration: drawn",
        ),
        ("alignment", {"algorithm": "classification"}, "algorithm: classification"),
        ("alignment", {"clips": "action"}, "clips: action"),
        ("alignment", {"test": {"tasks": ["retrieval"]}}, "test.tasks"),
        ("alignment", {"tests": {"more": {"tasks": ["probe"]}}}, "tests.more.tasks"),
        ("recognition", {"frames": "plain"}, ""),
    ],
)
def test_what_needs_labels_is_refused_where_there_are_none(room, changed, why):
    said = f", which {re.escape(why)} needs" if why else ""
    with pytest.raises(ValueError, match=rf"{room}\.free: the dataset has no labels{said}: give annotations.path"):
        study(**merge(UNLABELLED, {room: {"free": changed}}))


REFUSALS = {
    "features.drawn.backbone: Value error, there is no network 'resnet51'; the nearest names: resnet50": {
        "features": {"drawn": {"backbone": "resnet51"}}
    },
    "features.drawn.backbone: Value error, there is no network '?'; see docs/options.md": {
        "features": {"drawn": {"backbone": "?"}}
    },
    "features.rows: Value error, weights: `backbone: trained` needs those of a recognition run": {
        "features": {"rows": {"weights": {"room": "anticipation", "run": "taught", "seed": 0}}}
    },
    "recognition.known.heads: 'actoin' is no column of labels: give one of action, verb, noun": {
        "recognition": {"known": {"heads": {"actoin": {}}}}
    },
    "segmentation.steps.features: there is no 'lost'; known are: drawn, few, rows": {
        "segmentation": {"steps": {"features": "lost"}}
    },
    "segmentation.steps.features: 'rows' stands in features and in pca; rename one of them": {
        "pca": {"rows": {"features": "rows"}},
        "segmentation": {"steps": {"features": "rows"}},
    },
    "segmentation.steps.seeds: 7 reads that seed of recognition.known, which has 0, 1": {
        "segmentation": {"steps": {"seeds": [0, 7]}}
    },
    "alignment.same.seeds: 2 reads that seed of recognition.known, which has 0, 1": {
        "alignment": {"same": {"seeds": [2]}}
    },
    "alignment.same.weights.room: 'alignment' is not allowed: give recognition": {
        "alignment": {"same": {"weights": {"room": "alignment", "run": "same"}}}
    },
    "alignment.same.frames: this key must be given; known are: small": {"alignment": {"same": {"frames": None}}},
    "alignment.same.tests.more.frames: there is no 'lost'; known are: small": {
        "alignment": {"same": {"tests": {"more": {"frames": "lost"}}}}
    },
    "alignment.rows: tests.more.frames: a network that reads features": {
        "alignment": {
            "rows": {"features": "drawn", "network": {"backbone": "features"}, "tests": {"more": {"frames": "small"}}}
        }
    },
    "alignment.same: network.backbone: with features it cannot be": {
        "alignment": {"same": {"frames": None, "features": "rows"}}
    },
    "actions.steps.dataset: there is no 'lost'; known are: mine, other": {"actions": {"steps": {"dataset": "lost"}}},
    "actions.steps: path: with kind: segments give dataset, not path": {"actions": {"steps": {"path": "/epic"}}},
    "actions.epic.path: kind: epic55 needs the folder of the annotation files": {
        "actions": {"epic": {"kind": "epic55"}}
    },
    "actions.theirs: the dataset has no labels": {"actions": {"theirs": {"dataset": "other"}}},
    "corpora.theirs.dataset: 'other' has no recipes; give path": {"corpora": {"theirs": {"dataset": "other"}}},
    "language.words.corpus: there is no 'lost'; known are: recipes": {"language": {"words": {"corpus": "lost"}}},
    "seeds: Tuple should have at least 1 item": {"seeds": []},
    "teachers.next.seeds: 3 reads that seed of language.words, which has 0": {"teachers": {"next": {"seeds": [3]}}},
    "anticipation.taught.seeds: 1 reads that seed of teachers.next, which has 0": {
        "anticipation": {"taught": {"seeds": [1]}}
    },
    "losses.distill: there is no teacher to learn from": {"anticipation": {"taught": {"teacher": None}}},
    "anticipation.taught.teacher: there is no 'lost'; known are: next": {
        "anticipation": {"taught": {"teacher": "lost"}}
    },
    "anticipation.taught: toy: with actions, leave toy out": {
        "toys": {"few": {}},
        "anticipation": {"taught": {"toy": "few"}},
    },
    "anticipation.play.toy: there is no 'lost'; known are: none": {"anticipation": {"play": {"toy": "lost"}}},
    "ensembles.both.teachers: there is no 'lost'; known are: next": {
        "ensembles": {"both": {"teachers": ["next", "lost"]}}
    },
    "ensembles.both.seeds: 5 reads that seed of teachers.next, which has 0": {
        "ensembles": {"both": {"teachers": ["next", "next"], "seeds": [5]}}
    },
    "ensembles.both.teachers: they are of different tables of actions": {
        "actions": {"epic": {"kind": "epic55", "path": "/epic"}},
        "teachers": {"other": {"actions": "epic"}},
        "ensembles": {"both": {"teachers": ["next", "other"]}},
    },
    "ensembles.next: this name stands in teachers, too; rename one of them": {
        "ensembles": {"next": {"teachers": ["next", "next"]}}
    },
    "fusions.both.runs: there is no 'lost'; known are: taught": {"fusions": {"both": {"runs": ["taught", "lost"]}}},
    "fusions.both: coefficients: 3 for 2 runs; give one for each": {
        "fusions": {"both": {"runs": ["taught", "taught"], "coefficients": [1, 2, 3]}}
    },
    "fusions.both.test: there is no 'late'; known are: none": {
        "fusions": {"both": {"runs": ["taught", "taught"], "test": "late"}}
    },
    "flow.moves: frames: this key must be given (or dataset, for published flow)": {"flow": {"moves": {}}},
    "flow.moves: dataset: with frames, leave dataset out": {"flow": {"moves": {"frames": "small", "dataset": "mine"}}},
    "flow.moves: bound: published flow is not computed, so leave bound out": {
        "flow": {"moves": {"dataset": "mine", "bound": 15}}
    },
    "flow.moves.dataset: there is no 'lost'; known are: mine": {"flow": {"moves": {"dataset": "lost"}}},
    "flow.moves: the dataset 'mine' holds videos, not pictures": {"flow": {"moves": {"dataset": "mine"}}},
    "clip_fusions.both.runs: there is no 'lost'; known are: known": {
        "clip_fusions": {"both": {"runs": ["known", "lost"]}}
    },
    "clip_fusions.both.seeds: 7 reads that seed of recognition.known, which has 0, 1": {
        "clip_fusions": {"both": {"runs": ["known", "known"], "seeds": [7]}}
    },
    "clip_fusions.both: coefficients: 3 for 2 runs; give one for each": {
        "clip_fusions": {"both": {"runs": ["known", "known"], "coefficients": [1, 2, 3]}}
    },
    "clip_fusions.both.test: there is no 'late'; known are: none": {
        "clip_fusions": {"both": {"runs": ["known", "known"], "test": "late"}}
    },
    "fusions.both.runs: they are of different tables of actions": {
        "toys": {"few": {}},
        "anticipation": {"play": {"toy": "few"}},
        "fusions": {"both": {"runs": ["taught", "play"]}},
    },
    "summaries.all.runs: there is no 'lost'; known are: next": {
        "summaries": {"all": {"room": "teachers", "runs": ["lost"]}}
    },
    "summaries.all.test: there is no 'late'; known are: none": {
        "summaries": {"all": {"room": "anticipation", "runs": ["taught"], "test": "late"}}
    },
    "taxonomies.tree.file: source: file needs it": {"taxonomies": {"tree": {"source": "file"}}},
    "sets.some.taxonomy: there is no 'lost'; known are: tree": {"sets": {"some": {"taxonomy": "lost"}}},
    "abstraction.sam.sets: there is no 'lost'; known are: some": {"abstraction": {"sam": {"sets": "lost"}}},
    "features: with released, leave features out": {"abstraction": {"sam": {"released": "x"}}},
    "features: this key must be given": {"abstraction": {"bare": {"sets": "some"}}},
    "abstraction.sam.validation_sets: 'others' is of another taxonomy": {
        "taxonomies": {"second": {"dataset": "mine"}},
        "sets": {"others": {"taxonomy": "second"}},
        "abstraction": {"sam": {"validation_sets": "others"}},
    },
    "abstraction.bare.released: there is no 'lost'; known are: none": {"abstraction": {"bare": {"released": "lost"}}},
    "released.mine: a dataset has this name too": {
        "released": {"mine": {"dataset": "moments", "metadata": "/metadata"}}
    },
    "claims.x.treatment: there is no 'lost'; known are: same": {
        "claims": {"x": {"claim": "a", "room": "alignment", "treatment": "lost", "baseline": 0, "metric": "tau.test"}}
    },
}


@pytest.mark.parametrize("said", REFUSALS, ids=lambda said: said.split(":")[0])
def test_what_does_not_fit_is_refused(said):
    with pytest.raises(ValueError) as refusal:
        study(**REFUSALS[said])
    where = said.split(": ", 1)
    assert where[-1] in str(refusal.value), refusal.value
