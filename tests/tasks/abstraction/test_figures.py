"""The report's section on abstraction runs, from real results."""

import io
import re
import shutil

import pytest
from PIL import Image
from tests.tasks.abstraction import toys

from kinoflow.errors import DataError
from kinoflow.report import section as sections
from kinoflow.store.files import write_json
from kinoflow.tasks.abstraction import taxonomy_files, vectors
from kinoflow.tasks.abstraction.comparison import rho, told
from kinoflow.tasks.abstraction.figures import Thumbnails, abstraction_section
from kinoflow.tasks.abstraction.options import AbstractionSectionOptions, AbstractionTestOptions
from kinoflow.tasks.abstraction.pictures import Row, Tile, sheet
from kinoflow.tasks.abstraction.results import read_runs

RUNS = {
    "sam": {},
    "plain": {"network": {"scales": [1]}},
    "head": {"network": {"kind": "head"}},
    "classes": {"network": {"kind": "classifier"}},
    "no_vectors": {"embedding_weight": 0.0},
}


@pytest.fixture(scope="module")
def finished(toy, sam, tmp_path_factory):
    """The folder with the results of all runs."""
    folder = tmp_path_factory.mktemp("results") / "abstraction"
    for run, change in RUNS.items():
        place = folder / run / "seed-0"
        if run == "sam":
            place.mkdir(parents=True)
            model = place / "model.safetensors"
            shutil.copy(sam, model)
        else:
            model = toys.train(toy, place, toys.options(3, **change))
        toys.evaluate(toy, model, AbstractionTestOptions(resamples=20))
    return folder


def files(folder, name, runs=RUNS):
    return [folder / run / "seed-0" / name for run in runs]


def made(toy, finished, path, runs=RUNS, comparison=None, **options):
    names = ("metrics.json", "predictions.csv", "placed.csv", "model.safetensors")
    inputs = [files(finished, name, runs) for name in names]
    wanted = AbstractionSectionOptions(**options)
    abstraction_section(*inputs, toy / "test.json", toy / "segments.csv", path, wanted, comparison=comparison)
    return sections.read(path)


def tables(section):
    return {block.caption: block for block in section.blocks if block.kind == "table"}


def test_the_section_tells_all_runs_with_their_baselines_in_the_same_tables(toy, finished, tmp_path):
    section = made(toy, finished, tmp_path / "section.json")
    assert (section.title, section.order) == ("Abstraction: toy", 70)
    found = tables(section)
    naming = next(table for caption, table in found.items() if caption.endswith("exactly"))
    assert [row[0] for row in naming.rows] == ["sam", "no_vectors", "plain", "head", "classes", "majority", "chance"]
    kinds = {row[0]: row[1] for row in naming.rows}
    assert "B2" in kinds["head"] and "B3" in kinds["classes"] and "B4" in kinds["plain"] and "B5" in kinds["no_vectors"]
    odd = next(table for caption, table in found.items() if caption.startswith("Odd ones"))
    assert [row[0] for row in odd.rows][-2:] == ["raw features", "chance"]
    assert odd.rows[-1][2:6] == ("33.3", "25.0", "20.0", "26.1")
    spaces = next(table for caption, table in found.items() if "every space" in caption)
    assert [row[3].partition(" have ")[0] for row in spaces.rows] == [
        "", "rho: the centre of the references is the set's own vector", "", "raw features", ""
    ]  # fmt: skip


def test_kinds_of_vectors_are_compared_where_their_table_is_given(toy, finished, tmp_path):
    tree, known = taxonomy_files.read(toy / "taxonomy.json"), vectors.read(toy / "vectors.safetensors")
    table = {"used": "graph codes", "kinds": {"graph codes": vectors.similarity_table(tree, known.nodes)}}
    write_json(tmp_path / "comparison.json", table)
    section = made(toy, finished, tmp_path / "section.json", ("sam",), tmp_path / "comparison.json")
    (shown,) = (block for caption, block in tables(section).items() if caption.startswith("Mean cosine of two nodes"))
    assert shown.rows[0][0] == "graph codes" and shown.rows[0][-1] == "yes"


def test_sets_rankings_and_odd_ones_are_shown(toy, finished, tmp_path):
    section = made(toy, finished, tmp_path / "section.json", sets=2)
    figures = [block for block in section.blocks if block.kind == "figure" and block.image]
    assert len(figures) == 3 and all(Image.open(io.BytesIO(f.image)).width > 400 for f in figures)
    assert not [b for b in made(toy, finished, tmp_path / "no.json", sets=0).blocks if b.kind == "figure" and b.image]


def test_the_same_results_give_the_same_bytes(toy, finished, tmp_path):
    for name in "ab":
        made(toy, finished, tmp_path / name, runs=["sam", "head"])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_one_run_alone_makes_a_section_too(toy, finished, tmp_path):
    for run in ("sam", "classes"):
        section = made(toy, finished, tmp_path / run, runs=[run])
        assert section.summary.startswith(f"{run} names ")


def test_a_missing_file_is_named(finished):
    with pytest.raises(DataError, match="placed: there is no file of the run 'head', seed 0"):
        read_runs(*(files(finished, name, ["head"]) for name in ("metrics.json", "predictions.csv")), [], [])
    with pytest.raises(DataError, match="models: there is no checkpoint of the run 'head'"):
        read_runs(*(files(finished, f"{n}", ["head"]) for n in ("metrics.json", "predictions.csv", "placed.csv")), [])


def test_shares_of_seeds_are_told_as_mean_and_range():
    assert told([0.5]) == told([0.5, 0.5]) == "50.0" and told([0.5, 0.6]) == "55.0 (50.0–60.0)" and told([]) == ""
    assert (
        rho([0.25, 0.75]) == "0.50 (0.25–0.75)"
        and rho([-0.001]) == "0.00"
        and rho([0.25, -0.5]) == "−0.12 (−0.50 to 0.25)"
    )


def test_intervals_are_told_as_their_tables_tell_numbers(toy, finished, tmp_path):
    section = made(toy, finished, tmp_path / "section.json", ["sam"], sets=0)
    ends = {}
    for caption, table in tables(section).items():
        said = [note for note in table.notes if note.startswith("Intervals")]
        if said and "any of" not in caption:
            low, high = re.fullmatch(r".*: sam, seed 0: (\S+) to (\S+)\.", said[0]).groups()
            ends[caption.split()[0]] = float(low.replace("−", "-")), float(high.replace("−", "-")), table.rows[0][-1]
    assert ends.keys() == {"Subsets", "Odd", "Candidates"}
    low, high, mean = ends["Subsets"]
    assert 1 < low <= float(mean) <= high <= 100
    low, high, _ = ends["Candidates"]
    assert -1 <= low < high <= 1


def test_a_thumbnail_is_the_middle_frame_of_a_clip(films):
    found = Thumbnails(films / "segments.csv", [films / "frames.h5"])
    assert found["v0.mp4#0"].shape == found["v3.mp4"].shape and found["v0.mp4#0"].dtype.name == "uint8"
    assert found["lost"] is None and found.action("v1.mp4#0") == "class1"


def test_a_sheet_marks_tiles_by_a_frame_of_the_tone():
    blank = Row(("a",), (Tile(None, ("x",), marked=True, good=True),), True)
    picture = Image.open(io.BytesIO(sheet([blank]))).convert("RGB")
    red, green, blue = picture.getpixel((15, 60))
    assert green > 120 > red and blue < 180
