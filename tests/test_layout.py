"""Paths: equal options, equal path; what changes no value changes no path; a moved folder is the same folder."""

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kinoflow.config import merge
from kinoflow.layout import Layout, contents
from kinoflow.runs import Runs
from kinoflow.stock import Stock
from kinoflow.study import Study

BASE = {
    "study": "trial",
    "datasets": {"mine": {"source": {"kind": "folder", "path": "/somewhere/videos"}, "shards": 3}},
    "frames": {"small": {"dataset": "mine", "size": 32}},
    "features": {"net": {"from": "frames", "frames": "small"}},
    "pca": {"two": {"features": "net", "components": 2}},
}


LABELLED = {"mine": {"index": {"labels": "/labels.csv"}}}


def layout(weights: dict | None = None, **values) -> Layout:
    return Layout(Study.model_validate(merge(BASE, values)), weights or {})


def paths(found: Layout) -> dict[str, str]:
    kinds = {"frames": found.frames, "features": found.features, "pca": found.pca}
    of_shards = {
        f"{kind}.{name if isinstance(name, str) else name[0]}": shards.folder
        for kind, all_ in kinds.items()
        for name, shards in all_.items()
    }
    of_data = {f"data.{name}": d.folder for name, d in found.datasets.items()}
    return of_shards | of_data | {f"index.{name}": d.index for name, d in found.datasets.items()}


def moved(**values) -> set[str]:
    """Return which paths another value moves."""
    before, after = paths(layout()), paths(layout(**values))
    return {name for name in before if before[name] != after.get(name)}


def test_an_option_moves_its_stage_and_what_is_made_from_it():
    assert moved(frames={"small": {"size": 64}}) == {"frames.small", "features.net", "pca.two"}
    assert moved(features={"net": {"stride": 2}}) == {"features.net", "pca.two"}
    assert moved(pca={"two": {"whiten": True}}) == {"pca.two"}
    assert moved(datasets={"mine": {"shards": 4}}) == {"data.mine", "frames.small", "features.net", "pca.two"}


def test_labels_and_splits_move_the_index_and_what_asks_for_splits():
    index = {"draw": {"test": 0.3}}
    assert moved(datasets={"mine": {"index": index}}) == {"index.mine", "pca.two"}
    everything = {"pca": {"two": {"fit_on": "all"}}}
    before = paths(layout(**everything))
    after = paths(layout(**everything, datasets={"mine": {"index": index}}))
    assert {name for name in before if before[name] != after[name]} == {"index.mine"}


def test_published_annotations_move_the_index_by_what_is_read_and_not_by_its_place():
    def annotated(**values):
        return layout(datasets={"mine": {"annotations": {"kind": "ucf101", "path": "/lists", **values}}})

    assert paths(annotated()) == paths(annotated(path="/elsewhere"))
    assert paths(annotated(path=None)) == paths(layout())
    first, second = annotated(), annotated(split=2)
    assert {name for name, path in paths(first).items() if paths(second)[name] != path} == {"index.mine", "pca.two"}
    mine = first.datasets["mine"]
    assert mine.annotations == {name: f"{mine.annotated}/{name}.csv" for name in ("labels", "splits")}
    assert mine.annotated != second.datasets["mine"].annotated
    (values,) = contents(first).values()
    assert values[mine.annotated.split("/", 2)[2]]["kind"] == "ucf101" and "lists" not in json.dumps(values)


def test_a_release_has_clips_and_tables_of_its_own_wherever_it_lies():
    def converted(path: str = "/release", **values) -> Layout:
        mine = {"source": {"path": path}, "convert": {"kind": "finegym", **values}}
        return layout(datasets={"mine": mine})

    assert paths(converted()) == paths(converted("/elsewhere"))
    assert paths(converted()).keys() == moved(datasets={"mine": {"convert": {"kind": "finegym"}}}) | {"index.mine"}
    assert paths(converted())["data.mine"] != paths(converted(classes=288))["data.mine"]
    mine = converted().datasets["mine"]
    assert (mine.place, mine.root, mine.fetched) == ("/release", f"data/{mine.folder}/clips", None)
    assert mine.annotations == {name: f"data/{mine.folder}/converted/{name}.csv" for name in ("labels", "splits")}
    assert mine.marker == mine.annotations["splits"]


def test_a_release_is_another_by_its_files_and_not_by_their_place(tmp_path):
    (tmp_path / "a").mkdir()

    def seen(name: str) -> str:
        mine = {"source": {"path": str(tmp_path / name)}, "convert": {"kind": "pouring"}}
        return Stock(SimpleNamespace(owned=False)).release_digest(layout(datasets={"mine": mine}).datasets["mine"])

    (tmp_path / "a/one.tfrecord").write_bytes(b"1")
    (tmp_path / "a/one.jpg").write_bytes(b"1")
    first = seen("a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert seen("b") == first and seen("a") == ""
    (tmp_path / "b/one.tfrecord").write_bytes(b"2")
    second = seen("b")
    (tmp_path / "b/one.jpg").write_bytes(b"12")
    third = seen("b")
    (tmp_path / "b/lost").symlink_to(tmp_path / "nowhere")
    assert len({first, second, third, seen("b")}) == 4


def published(kind: str, source: dict, steps: str | None = None, **annotations) -> Layout:
    """A study of feature files of a published dataset of long videos."""
    mine = {"source": source, "content": "features", "annotations": {"kind": kind, **annotations}}
    run = {"features": "outside", "learn": "closed_form", "model": {"states": 0, "rank": None}, "steps": steps}
    files = {"outside": {"from": "files", "dataset": "mine"}}
    values = {"study": "x", "datasets": {"mine": mine}, "features": files, "segmentation": {"steps": run}}
    return Layout(Study.model_validate(values), {})


FOLDER = {"kind": "folder", "path": "/features"}


def test_files_of_crosstask_are_read_by_links_for_each_task():
    mine = published("crosstask", FOLDER, path="/release").datasets["mine"]
    assert (mine.place, mine.published, mine.fetched) == ("/features", "/release", None)
    assert (mine.root, mine.marker) == (f"data/{mine.folder}/links", f"data/{mine.folder}/links.csv")
    plain = {"mine": {"source": FOLDER, "content": "features"}}
    assert mine.folder != Layout(Study.model_validate({"study": "x", "datasets": plain}), {}).datasets["mine"].folder
    fetched = published("crosstask", {"kind": "download"}).datasets["mine"]
    assert (fetched.place, fetched.published) == (f"data/{fetched.folder}/raw", f"data/{fetched.folder}/raw")
    assert (
        fetched.fetched == f"data/{fetched.folder}/fetched.json"
        and fetched.marker == f"data/{fetched.folder}/links.csv"
    )


def test_links_are_made_anew_for_other_names_or_another_list_of_videos_alone(tmp_path):
    release, features = tmp_path / "crosstask_release", tmp_path / "features"
    (release / "annotations").mkdir(parents=True)
    features.mkdir()
    (release / "videos.csv").write_text("1,a,https://x\n")

    def seen() -> tuple[str, str]:
        mine = published("crosstask", FOLDER | {"path": str(features)}, path=str(tmp_path)).datasets["mine"]
        stock = Stock(SimpleNamespace(owned=False))
        return stock.names_digest(mine), stock.published_digest(mine)

    first = seen()
    (release / "annotations/1_a.csv").write_text("1,0,1\n")
    labelled = seen()
    assert labelled[0] == first[0] and labelled[1] != first[1]
    (features / "a.npy").write_bytes(b"")
    named = seen()
    assert named[0] != first[0] and named[1] == labelled[1]
    (features / "a.npy").write_bytes(b"more")
    assert seen() == named
    (release / "videos.csv").write_text("1,a,https://x\n1,b,https://x\n")
    assert seen()[0] != named[0]


def test_steps_and_narration_of_a_run_are_those_of_its_dataset_unless_it_names_others():
    found = published("breakfast", FOLDER, path="/labels")
    whose, given = SimpleNamespace(run="steps"), Runs(found).given
    annotated = found.datasets["mine"].annotated
    assert [given("segmentation", key)(whose) for key in ("steps", "narration")] == [
        [f"{annotated}/steps.csv"],
        [f"{annotated}/narration.csv"],
    ]
    own = published("breakfast", FOLDER, steps="/own/steps.csv", path="/labels")
    assert Runs(own).given("segmentation", "steps")(whose) == ["/own/steps.csv"]
    assert layout(segmentation={"steps": {"features": "net"}}, datasets=LABELLED).datasets["mine"].tables("steps") == []


def test_a_split_of_breakfast_moves_the_index_alone():
    splits = [published("breakfast", FOLDER, path="/labels", split=number) for number in (1, 4)]
    one, other = (paths(found) for found in splits)
    assert {name for name in one if one[name] != other[name]} == {"index.mine"}
    with pytest.raises(ValidationError, match="ucf101 has no split 4; give 1, 2 or 3"):
        published("ucf101", FOLDER, path="/lists", split=4)


def test_how_pictures_are_numbered_counts_where_there_are_pictures():
    rate = {"pictures": {"rate": 30}}
    assert moved(datasets={"mine": rate}) == set()
    pictures = [layout(datasets={"mine": {"content": "pictures"} | more}) for more in ({}, rate)]
    assert paths(pictures[0])["data.mine"] != paths(pictures[1])["data.mine"]


def test_what_changes_no_value_moves_nothing():
    assert moved(frames={"small": {"quality": 90}}) == set()  # the default, written out
    assert moved(features={"net": {"batch": 3, "threads": 2}}) == set()
    assert moved(datasets={"mine": {"watch": "names", "source": {"path": "/elsewhere/videos"}}}) == set()
    assert moved(report={"sheet_frames": 3}) == set()


def test_weights_count_by_content_and_a_run_s_by_its_name():
    def net(weights, hashes=None):
        return layout(hashes, features={"net": {"weights": weights}})

    first, same, other = (
        net(path, {path: sha}) for path, sha in (("/a/w.pt", "1"), ("/b/v.pt", "1"), ("/a/w.pt", "2"))
    )
    assert paths(first) == paths(same) != paths(other)
    assert "/a/w.pt" not in json.dumps(contents(first))
    run = net({"run": "tsn", "seed": 2, "study": "other"})
    assert run.weight_file(run.study.features["net"]) == "results/other/recognition/tsn/seed-2/model.safetensors"
    assert (
        len({paths(found)["features.net"] for found in (first, other, run, net("none"), net("torchvision:DEFAULT"))})
        == 5
    )


@given(st.permutations(list(BASE)))
def test_the_order_of_keys_moves_nothing(order):
    shuffled = Layout(Study.model_validate({key: BASE[key] for key in order}), {})
    assert paths(shuffled) == paths(layout())


def test_contents_say_what_every_hash_stands_for_and_no_place_on_this_machine():
    found = layout()
    (values,) = contents(found).values()
    for name, place in paths(found).items():
        if not name.startswith(("data", "index")):
            assert place.split("/", 2)[2] in values
    assert "somewhere" not in json.dumps(values)


def each(**values) -> Layout:
    weights = {"run": "known", "seed": "each"} | values
    run = {"frames": "small", "seeds": [4, 7], "network": {"backbone": "small"}, "input": {"size": 32}}
    return layout(
        datasets={"mine": {"index": {"labels": "/labels.csv"}}},
        recognition={"known": run},
        features={"net": {"backbone": "trained", "weights": weights}},
    )


def test_features_of_each_seed_of_a_run_have_folders_of_their_own_and_so_have_their_components():
    found = each()
    assert set(found.features) == {("net", 4), ("net", 7)} and set(found.pca) == {("two", 4), ("two", 7)}
    assert len({shards.folder for shards in found.shards}) == 5
    assert found.pca["two", 7].below is found.features["net", 7]
    files = [found.weight_file(found.features["net", seed].options, seed) for seed in (4, 7)]
    assert files == [f"results/trial/recognition/known/seed-{seed}/model.safetensors" for seed in (4, 7)]
    assert found.features["net", 4].folder == each(seed=4).features["net", None].folder


def test_weights_of_a_run_or_seed_that_the_study_lacks_are_refused():
    with pytest.raises(ValueError, match=r"features\.net\.weights\.run: there is no 'lost'; known are: known"):
        each(run="lost")
    with pytest.raises(ValueError, match=r"weights\.seed: recognition\.known has no seed 5; it has 4, 7"):
        each(seed=5)
    with pytest.raises(ValueError, match="of another study's run name one seed"):
        each(study="other")
    assert each(study="other", seed=5)


def test_a_trained_network_takes_no_options_of_its_input():
    with pytest.raises(ValueError, match="clip: a trained network reads frames as it was trained; leave clip out"):
        layout(features={"net": {"backbone": "trained", "weights": {"run": "x", "study": "y"}, "clip": 4}})
    with pytest.raises(ValueError, match="needs those of a recognition run"):
        layout(features={"net": {"backbone": "trained"}})
