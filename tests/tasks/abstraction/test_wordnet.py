"""Taxonomies out of WordNet's files: an invented dictionary of 30 synsets, and the real one where it is installed."""

from pathlib import Path

import pytest
from tests.tasks.abstraction import dictionary as invented

from kinoflow.errors import DataError
from kinoflow.tasks.abstraction import taxonomy_files, wordnet
from kinoflow.tasks.abstraction.taxonomy import Taxonomy
from kinoflow.tasks.abstraction.wordnet import Dictionary, place, taxonomy


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return invented.write(tmp_path_factory.mktemp("dict"))


@pytest.fixture(scope="module")
def verbs(folder) -> Dictionary:
    return Dictionary(folder)


@pytest.fixture(scope="module")
def real() -> Path:
    if not (wordnet.DEBIAN / "data.verb").is_file():
        pytest.skip(f"no WordNet at {wordnet.DEBIAN}: apt-get install wordnet-base")
    return wordnet.DEBIAN


def links(found: Taxonomy) -> set[tuple[str, str]]:
    return {(found.nodes[a], found.nodes[b]) for a, b in found.edges.tolist()}


def test_the_invented_dictionary_has_30_synsets():
    assert len(invented.VERBS) + len(invented.NOUNS) == 30


@pytest.mark.parametrize(
    ("form", "lemma"),
    [
        ("run", "run"),
        ("runs", "run"),
        ("running", "run"),  # the consonant is doubled
        ("ran", "run"),  # irregular
        ("walked", "walk"),
        ("riding", "ride"),  # not rid: that would be ridding
        ("ridding", "rid"),
        ("swinging", "swing"),  # swing and swinge both fit; swing is met more often
        ("jumping", "jump"),
        ("texting", None),
    ],
)
def test_forms_have_their_lemma(verbs, form, lemma):
    assert verbs.lemma(form) == lemma


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("running", "run.v.01"),  # the first sense
        ("ice+skating", "skate.v.01"),  # the form in -ing, not the verb `ice`
        ("long jump", "jump.v.01"),  # the last word
        ("push ups", "push.v.01"),  # not the particle
        ("swing jumping", "jump.v.01"),  # swing is no form of another verb
        ("talking/whispering", "talk.v.01"),  # of merged names the first
        ("child+speaking", "talk.v.01"),  # named after the first word of its synset
        ("making music", None),
    ],
)
def test_a_class_is_placed_by_its_verb(verbs, label, name):
    found = place(label, verbs)
    assert (found and verbs.name(found)) == name


def test_hypernyms_are_followed_and_nothing_else(verbs):
    sing = verbs.synset(verbs.senses["sing"][0])
    assert {verbs.name(each) for each in verbs.above(sing).values()} == {"sing.v.01", "talk.v.01", "make_music.v.01"}
    assert sing.gloss == "use words with tones"
    assert verbs.name(verbs.synset(verbs.senses["run"][1])) == "run.v.02"


def test_the_taxonomy_has_no_concept_with_a_single_child(folder):
    classes = ["running", "walking", "riding", "jumping", "singing", "drumming", "whispering", "texting", "archery"]
    found = taxonomy(classes, folder)
    assert links(found) == {
        ("root", "move.v.01"),
        ("move.v.01", "travel.v.01"),
        ("move.v.01", "jumping"),
        ("travel.v.01", "running"),
        ("travel.v.01", "walking"),
        ("travel.v.01", "riding"),
        ("root", "talk.v.01"),
        ("talk.v.01", "singing"),
        ("talk.v.01", "whispering"),
        ("root", "make_music.v.01"),
        ("make_music.v.01", "singing"),  # two parents
        ("make_music.v.01", "drumming"),
        ("root", "drumming"),  # hit.v.01 is spliced out
    }
    assert found.categories == tuple(sorted(classes[:7]))
    assert found.about["unplaced"] == ["archery", "texting"]
    assert found.about["glosses"]["travel.v.01"] == "move far"


def test_nouns_place_what_no_verb_places(folder):
    classes = ["running", "walking", "archery", "yoga", "texting"]
    found = taxonomy(classes, folder, ("v", "n"))
    assert found.about["placed"] == {"verb": 2, "noun": 2}
    assert found.about["unplaced"] == ["texting"]
    assert ("sport.n.01", "archery") in links(found)


def test_a_folder_without_a_dictionary_is_named(tmp_path):
    with pytest.raises(DataError, match=r"index\.verb: this dictionary file cannot be read .* install wordnet-base"):
        taxonomy(["running"], tmp_path)


def test_files_of_two_versions_are_refused(folder, tmp_path):
    invented.write(tmp_path)
    text = (tmp_path / "data.verb").read_text()
    (tmp_path / "data.verb").write_text(" moved by one line\n" + text)
    with pytest.raises(DataError, match="no synset stands at byte"):
        taxonomy(["running"], tmp_path)


def test_classes_that_no_word_places_are_refused(folder):
    with pytest.raises(DataError, match="no class has a word of the dictionary"):
        taxonomy(["texting"], folder)


# ---------------------------------------------------------------- the real dictionary


def lines_of(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def test_moments_has_291_of_292_classes_and_389_nodes(real, shared):
    found = taxonomy(lines_of(shared / "data/annotations/moments/category_multi_momentsv2.txt"), real)
    assert (found.num_class, len(found), found.about["unplaced"]) == (291, 389, ["texting"])
    expected = taxonomy_files.read(shared / "data/taxonomies/moments_graph_wordnet30.json")
    # Riding is of ride, dining of dine, taping of tape, in place of rid, din, tap.
    assert links(found) - links(expected) == {
        ("travel.v.01", "riding"),
        ("consume.v.02", "eat.v.02"),
        ("eat.v.02", "dining"),
        ("eat.v.02", "eating/feeding"),
        ("attach.v.01", "taping"),
        ("cut.v.01", "tapping"),
    } - links(expected)
    assert links(expected) - links(found) == {
        ("root", "riding"),
        ("sound.v.02", "dining"),
        ("cut.v.01", "tap.v.01"),
        ("tap.v.01", "taping"),
        ("tap.v.01", "tapping"),
    }


def test_kinetics_is_within_two_of_374_classes_and_484_nodes(real, shared):
    names = lines_of(shared / "data/annotations/kinetics400/label_map_k400.txt")
    found = taxonomy(names, real)
    assert abs(found.num_class - 374) <= 2 and abs(len(found) - 484) <= 2
    expected = taxonomy_files.read(shared / "data/taxonomies/kinetics_graph_wordnet30.json")
    assert set(found.categories) == set(expected.categories)
    others = {child for _, child in links(found) ^ links(expected)}
    moved = {name for name in others if name in found.categories}
    assert moved == {
        *(f"riding {what}" for what in ("a bike", "camel", "elephant", "mechanical bull", "mountain bike", "mule")),
        *("riding or walking with horse", "riding scooter", "riding unicycle"),  # ride, not rid
        *("dining", "shining shoes"),  # dine, not din; shine, not shin
        *("front raises", "push up"),  # the last word, but no particle
    }
    assert len(links(found) ^ links(expected)) == 33  # with what follows from these
    both = taxonomy(names, real, ("v", "n"))
    assert len(both.about["unplaced"]) < len(found.about["unplaced"])
