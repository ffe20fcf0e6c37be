"""Readers of arrays and weights, and of the rooms' own files."""

import gzip
import importlib.util
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tests.faults.formats import Reader, one

# ---------------------------------------------------------------- features and weights


def _features() -> Iterator[Reader]:
    import h5py

    from kinoflow.datasets.options import FeatureFilesOptions
    from kinoflow.features import arrays, outside, pca_files
    from kinoflow.features.covariance import Basis, Sums
    from kinoflow.tasks.anticipation import rulstm_lmdb, sources

    x = np.arange(12, dtype=np.float32).reshape(4, 3)

    def saved(save: Callable[..., None], **named: Any) -> bytes:
        out = io.BytesIO()
        save(out, **named) if named else save(out, x)
        return out.getvalue()

    def hdf5(folder: Path) -> None:
        with h5py.File(folder / "x.h5", "w") as file:
            file["x"] = x

    def matrix(path: Path) -> float:
        return float(np.asarray(arrays.read_matrix(path), np.float64).sum())

    yield one("npy", "x.npy", saved(np.save), matrix)
    yield one("npz", "x.npz", saved(np.savez, x=x), matrix)
    yield one("compressed npz", "x.npz", saved(np.savez_compressed, x=x), matrix)
    yield Reader("hdf5", hdf5, "x.h5", matrix)
    yield one(
        "feature file",
        "x.npy",
        saved(np.save),
        lambda p: outside._examined(str(p), FeatureFilesOptions(rate=1.0)),
    )

    def files(path: Path) -> None:
        found = sources.Files(path.parent, 30.0)
        found.rows(path.name.split(".")[0])

    yield one("gz of npy", "v.npy.gz", gzip.compress(saved(np.save), mtime=0), files)
    yield one("gz of text", "v.txt.gz", gzip.compress(b"1 2 3\n4 5 6\n", mtime=0), files)

    def database(folder: Path) -> None:
        import lmdb

        with lmdb.open(str(folder), map_size=1 << 20) as made, made.begin(write=True) as writing:
            for number in range(1, 100):
                writing.put(rulstm_lmdb.KEY.format(video="v", number=number).encode(), x.tobytes())

    def looked_up(path: Path) -> None:
        rulstm_lmdb.Lmdb(path.parent).frames("v", np.array([1, 50, 99]))

    if importlib.util.find_spec("lmdb"):
        yield Reader("LMDB", database, "data.mdb", looked_up)

    group = pca_files.Group("", "")

    def partial(folder: Path) -> None:
        sums = Sums(4, np.zeros(3), np.ones(6))
        pca_files.write_partial(folder / "p.h5", 3, {"": (0, 3)}, {"a": 1}, [(group, sums)])

    def sums(path: Path) -> None:
        found = pca_files.read_partial(path)
        for each in found.groups:
            found.sums(each)

    def basis(folder: Path) -> None:
        one = Basis(np.zeros(3), np.ones(3), np.eye(3)[:2], np.ones(2), 3.0, 4)
        pca_files.write_basis(
            folder / "b.safetensors", pca_files.PcaBasis(3, {"": (0, 3)}, {group: one}, {"components": 2})
        )

    yield Reader("partial sums", partial, "p.h5", sums)
    yield Reader("basis", basis, "b.safetensors", pca_files.read_basis)


def _weights() -> Iterator[Reader]:
    import torch

    from kinoflow.features import weights
    from kinoflow.tasks.abstraction import published
    from kinoflow.tasks.alignment import released
    from kinoflow.training import checkpoint
    from kinoflow.training.state import State

    def saved(value: Any, **how: Any) -> bytes:
        out = io.BytesIO()
        torch.save(value, out, **how)
        return out.getvalue()

    network = torch.nn.Linear(2, 3)
    state = network.state_dict()
    yield one("weights", "w.pth", saved({"state_dict": state}), weights.read)
    yield one("old weights", "w.pth", saved(state, _use_new_zipfile_serialization=False), weights.read)
    yield Reader(
        "checkpoint",
        lambda f: checkpoint.save(f / "m.safetensors", network, {"room": "x"}),
        "m.safetensors",
        checkpoint.read,
    )
    yield Reader(
        "safetensors",
        lambda f: checkpoint.save(f / "m.safetensors", network, {"room": "x"}),
        "m.safetensors",
        weights.read,
    )

    def train_state(folder: Path) -> None:
        State(folder, 1.0, "mine").save({"done": 3, "tensors": state})

    yield Reader(
        "training state", train_state, "state.pt", lambda p: State(p.parent, 1.0, "mine").load(torch.device("cpu"))
    )
    yield one("vectors pth", "v.pth", saved({"a": torch.ones(3), "b": torch.zeros(3)}), published.read_vectors)
    yield one(
        "features pth", "f.pth", saved({"features": torch.ones(2, 3), "names": ["a", "b"]}), published.read_features
    )
    out = io.BytesIO()
    np.savez(out, names=np.array(["a", "b"]), vectors=np.ones((2, 3)))
    yield one("vectors npz", "v.npz", out.getvalue(), published.read_vectors)
    carl = {"model_state": state, "cfg": {"MODEL": {"EMBEDDER_MODEL": {"HIDDEN_SIZE": 8}}}, "epoch": 3}
    yield one("released CARL", "c.pth", saved(carl), released.read_released)


# ---------------------------------------------------------------- the rooms


def _rooms() -> Iterator[Reader]:
    import torch
    from tests.tasks.abstraction import dictionary

    from kinoflow.tasks.abstraction import set_files, taxonomy_files, vectors, wordnet
    from kinoflow.tasks.anticipation import challenge, corpus, record_import, records, result_store, summary, tokens
    from kinoflow.tasks.recognition import score_store
    from kinoflow.tasks.recognition.measures import Outcome
    from kinoflow.tasks.recognition.options import ClipTestOptions

    tree = "top\n  cut\n    slice\n    dice\n  pour\n"
    graph = json.dumps(
        taxonomy_files.to_json(
            taxonomy_files._of_leaves(taxonomy_files._indented(list(enumerate(tree.splitlines(), 1))))
        )
    )
    yield one("indented taxonomy", "t.txt", tree, taxonomy_files.read)
    yield one("taxonomy of edges", "t.txt", "cut,slice\ncut,dice\ntop,cut\ntop,pour\n", taxonomy_files.read)
    yield one("taxonomy graph", "t.json", graph, taxonomy_files.read)
    yield Reader(
        "WordNet data", dictionary.write, "data.verb", lambda p: wordnet.taxonomy(["running", "swimming"], p.parent)
    )
    yield Reader(
        "WordNet index", dictionary.write, "index.verb", lambda p: wordnet.taxonomy(["running", "swimming"], p.parent)
    )
    yield Reader(
        "WordNet exceptions", dictionary.write, "verb.exc", lambda p: wordnet.taxonomy(["running", "swam"], p.parent)
    )
    whole = taxonomy_files.from_json(json.loads(graph))
    from kinoflow.tasks.abstraction.subsets import keys

    labels = {key: ["cut" if len(key) > 1 else "slice"] for key in keys(2)}
    sets = "[\n" + ",\n".join(json.dumps({"videos": ["a", "b"], "labels": labels}) for _ in range(3)) + "\n]\n"
    yield one("sets", "s.json", sets, lambda p: set_files.read_sets(p, whole))
    ranking = {
        "common": "cut",
        "query": [["a", "slice", 0.5], ["b", "dice", 1]],
        "reference": [["c", "cut", 0.0]],
        "annotators": {"p": [1, 2]},
    }
    yield one("rankings", "r.json", json.dumps({"1": [ranking]}), set_files.read_annotators)
    yield one("list of clips", "l.txt", "a/b.mp4 12 0 1\nc 3 1\n", set_files.read_listfile)
    made = vectors.Vectors("words", ("a", "b"), np.eye(2, dtype=np.float32), {"c": 0}, np.ones((1, 2), np.float32))
    yield Reader("vectors", lambda f: vectors.write(f / "v.safetensors", made), "v.safetensors", vectors.read)

    rows = records.Records(
        ["1", "2"], ("a", "b"), np.ones((2, 2)), np.ones((2, 3)), np.zeros((2, 1)), np.ones(2), np.zeros(2), "toy", "p", {"gap": 1.0}
    )  # fmt: skip
    yield Reader("records", lambda f: records.write_records(f / "r.h5", rows), "r.h5", records.read_records)
    scores = result_store.Scores(
        ["1", "2"], ("a", "b"), {"action": np.ones((2, 2))}, np.zeros(2, int), np.zeros(2), np.ones(2), "toy"
    )
    yield Reader("scores", lambda f: result_store.write_scores(f / "s.h5", scores), "s.h5", result_store.read_scores)
    told = {"action": Outcome(np.ones((2, 2)), ["a", "b"], ("a", "b"), [1, 1])}
    clips = score_store.Scores(["1", "2"], ["v", "w"], told, True, 1, 9, ClipTestOptions())
    yield Reader(
        "scores of clips", lambda f: score_store.write_scores(f / "c.h5", clips), "c.h5", score_store.read_scores
    )
    item = {
        "uid": "003",
        "target": np.int64(2),
        "history": [[0, 1]],
        "logit_action": torch.ones(6, 1),
        "LM_feat": np.ones((4, 1), np.float32),
    }

    def imported(path: Path) -> None:
        for number, each in enumerate(record_import.read_list(path)):
            record_import._row(each, 6, f"{path}, record {number + 1}")

    yield one("pickled records", "r.pkl", pickle.dumps([item]), imported)
    verbs = {
        "version": "0.1",
        "challenge": challenge.CHALLENGE,
        "results": {"1": {"verb": {"0": 0.5}, "noun": {"0": 1}, "action": {"0,0": 1}}},
    }
    yield one("challenge", "c.json", json.dumps(verbs), challenge.read_challenge)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(challenge.MEMBER, json.dumps(verbs))
    yield one("packed challenge", "c.zip", out.getvalue(), challenge.read_challenge)
    yield one("measures", "m.json", '{"a": {"b": 1.5}, "c": 2}', lambda p: summary.summed_up([p, p]))
    yield one("corpus", "c.jsonl", '{"id": "1", "text": "open <v> jar <a> take <v> pan"}\n', tokens.read_lines)
    recipe = {"id": "x", "instructions": [{"text": "Open the jar and take the pan."}, "Cut it."]}

    def read_recipes(path: Path) -> None:
        list(corpus.of_recipes(path, corpus.by_rules, frozenset()))

    yield one("recipes", "r.json", json.dumps([recipe, recipe]), read_recipes)
    yield one("recipe lines", "r.jsonl", (json.dumps(recipe) + "\n") * 2, read_recipes)
    yield one("recipe steps", "r.txt", "open jar , pull tray\n", lambda p: list(corpus.of_steps(p)))


def _words() -> Iterator[Reader]:
    from kinoflow.tasks.abstraction import words

    yield one(
        "word vectors", "w.vec", "2 3\ncut 1 2 3\nPour 0.5 1e-3 -2\n", lambda p: words.from_file(p, {"cut", "pour"})
    )
    yield one(
        "corpus of words",
        "c.txt",
        'cut the bread\n{"text": ["pour milk"]}\n',
        lambda p: words.from_corpus(words.sentences(p), 2, 5),
    )


def _models() -> Iterator[Reader]:
    from tests.tasks.anticipation.published_folder import publish

    from kinoflow.tasks.anticipation import language, tokens

    def read(path: Path) -> None:
        language.published(str(path.parent), tokens.published(str(path.parent)), "bert")

    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        yield Reader(f"model folder's {name}", publish, name, read)


PARTS = (_features, _weights, _rooms, _words, _models)
