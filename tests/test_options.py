"""What options promise: every field says what it is; every refusal names its key and what is allowed there."""

import importlib
import re
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from tests.conftest import ROOT

from kinoflow.errors import ConfigError
from kinoflow.features.options import FeaturesOptions
from kinoflow.media.options import FramesOptions
from kinoflow.options import Options, check, resolved, short_hash
from kinoflow.study import Study
from kinoflow.wording import Kind

SOURCES = ROOT / "src" / "kinoflow"
EXAMPLE = yaml.safe_load((ROOT / "config.yaml").read_text())


def option_models() -> dict[str, type[BaseModel]]:
    """Every option model of the package, and the whole study."""
    found: dict[str, type[BaseModel]] = {}
    for path in sorted(SOURCES.rglob("options.py")):
        name = ".".join(("kinoflow", *path.relative_to(SOURCES).with_suffix("").parts))
        members = vars(importlib.import_module(name)).values()
        found |= {m.__name__: m for m in members if isinstance(m, type) and issubclass(m, Options) and m is not Options}
    todo = [Kind.of(Study)]
    while todo:
        kind = todo.pop()
        if kind.is_model:
            found[kind.annotation.__name__] = kind.annotation
            todo += map(Kind.of_field, kind.annotation.model_fields.values())
        todo += [*kind.choices, *kind.items]
    return found


MODELS = option_models()
KEYS = (
    "abstraction, actions, alignment, anticipation, claims, clip_fusions, corpora, datasets, ensembles, features, flow,"
    " frames, fusions, language, pca, published, recognition, released, report, rooms, seeds, segmentation, sets, study,"
    " summaries, taxonomies, teachers, toys"
)
FIELDS = {f"{m}.{name}": field for m, model in MODELS.items() for name, field in model.model_fields.items()}


def numbers(kind: Kind) -> list[Kind]:
    """The kinds of number inside a field, its items included."""
    inner = [number for part in (*kind.choices, *kind.items) for number in numbers(part)]
    return [kind] if kind.annotation in (int, float) else inner


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_says_what_it_does_and_in_which_unit(name):
    field = FIELDS[name]
    assert field.description and not field.description.endswith(".")
    assert isinstance(field.json_schema_extra, dict) and isinstance(field.json_schema_extra["unit"], str)


@pytest.mark.parametrize("name", FIELDS)
def test_every_number_has_a_lower_and_an_upper_bound(name):
    for number in numbers(Kind.of_field(FIELDS[name])):
        assert {"ge", "gt"} & set(number.limits) and {"le", "lt"} & set(number.limits)


@pytest.mark.parametrize("name", FIELDS)
def test_every_default_is_allowed(name):
    """Pydantic takes defaults on trust."""
    model, field = MODELS[name.partition(".")[0]], FIELDS[name]
    if not field.is_required():
        values = {field.alias or name.partition(".")[2]: field.get_default(call_default_factory=True)}
        try:
            model.model_validate(values)
        except ValidationError as error:
            wrong = [item for item in error.errors() if "this key must be given" not in item["msg"]]
            assert {item["type"] for item in wrong} <= {"missing"}


@pytest.mark.parametrize("name", FIELDS)
def test_a_section_left_out_is_an_empty_one(name):
    """Else one key of it, given, would change others in silence, and the page of options would name other defaults."""
    default = FIELDS[name].default
    if isinstance(default, BaseModel):
        assert default == type(default)() and type(default) is Kind.of_field(FIELDS[name]).annotation


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_model_is_documented_and_refuses_unknown_keys(model):
    assert model.__doc__ and model.model_config["extra"] == "forbid" and model.model_config["frozen"]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_option_models_hold_nothing_that_computes(model):
    """They are left out of the fingerprints of code, so what they decide must reach a stage as a value."""
    methods = {name for name, value in vars(model).items() if callable(value) and not name.startswith(("_", "model_"))}
    assert not methods


# ---------------------------------------------------------------- refusals, one by one

KITCHEN = {"study": "s", "datasets": {"k": {"source": {"kind": "kitchen"}}}}
NAME = "a name of at most 64 letters, digits, _ and -, the first a letter or digit"
# what stands below a frame set "raw" of dataset k: the line without "config.yaml: frames.raw."
FRAMES = {
    "size: 17": "size: 17 is not allowed: give a whole number from 16 to 2160, a multiple of 2 (pixels)",
    "size: big": "size: 'big' is not allowed: give a whole number from 16 to 2160, a multiple of 2 (pixels)",
    "quality: ": "quality: an empty value is not allowed: give a whole number from 1 to 100 (percent), or leave the key out",
    "quality: yes": "quality: true is not allowed: give a whole number from 1 to 100 (percent)",
    "quality: 2024-01-01": "quality: '2024-01-01' is not allowed: give a whole number from 1 to 100 (percent)",
    "rate: 0": "rate: 0 is not allowed: give a number above 0, at most 1000 (frames per second)",
    "rate: .inf": "rate: Infinity is not allowed: give a number above 0, at most 1000 (frames per second)",
    "store: png": "store: 'png' is not allowed: give raw or jpeg",
    "upright: 3": "upright: 3 is not allowed: give true or false",
    "sise: 16": "sise: there is no such key; did you mean 'size'?",
    "SIZE: 16": "SIZE: there is no such key; did you mean 'size'?",
}
# the same for features "x"
FEATURES = {
    "weights: 5": "weights: 5 is not allowed: give none, a mapping (study, room, run, seed) or torchvision:NAME or a path",
    "weights: {}": "weights.run: this key must be given: name of the run",
    "weights: {run: r, rom: 1}": "weights.rom: there is no such key; did you mean 'room'?",
    "weights: {run: r, room: hall}": "weights.room: 'hall' is not allowed: give recognition, alignment or anticipation",
    "from: disk": "from: 'disk' is not allowed: give frames, video or files",
    "mean: [1, 2]": "mean: [1, 2] is not allowed: give a list of 3, each item a number from -1000 to 1000 (share of white)",
    "std: [1, 0, 2]": "std[1]: 0 is not allowed: give a number above 0, at most 1000 (share of white)",
}
# what stands in place of the source of dataset k
SOURCES_OF = {
    "{kind: foo}": "source.kind: 'foo' is not allowed: give kitchen, folder or download",
    "{kind: [1]}": "source.kind: [1] is not allowed: give kitchen, folder or download",
    "{kind: }": "source.kind: an empty value is not allowed: give kitchen, folder or download",
    "{path: x}": "source.kind: this key must be given: kitchen, folder or download",
    "kitchen": "source: 'kitchen' is not allowed: give a mapping with a key kind (kitchen, folder or download)",
    "{kind: folder, path: 3}": "source.path: 3 is not allowed: give a path",
    "{kind: folder, path: x, fps: 3}": "source.fps: there is no such key; it belongs to kind: kitchen",
    "{kind: folder, path: x, pat: 3}": "source.pat: there is no such key; did you mean 'path'?",
    "{kind: download, files: [{url: x, name: a}]}": (
        "source.files[0].url: 'x' is not allowed: give an address: https://..., http://... or file://..."
    ),
}
# anything else, beside the dataset
OTHERS = {
    "frames: {raw: {}}": "frames.raw.dataset: this key must be given: the dataset, a key of datasets",
    "frames: {raw: {dataset: k, rate: 1, count: 2}}": "frames.raw: rate and count exclude each other: give one of them",
    "frames: {raw: {dataset: other}}": "frames.raw.dataset: there is no 'other'; known are: k",
    "frames: {a b: {dataset: k}}": f"frames.a b: 'a b' is not allowed as a name: give {NAME}",
    'frames: {"a\\nb": {dataset: k}}': f"frames.'a\\nb': 'a\\nb' is not allowed as a name: give {NAME}",
    "frames: {1: {dataset: k}}": f"frames.1: 1 is not allowed as a name: give {NAME}",
    "frames: [1]": "frames: [1] is not allowed: give a mapping, each value a mapping (key: value)",
    "frame: {}": "frame: there is no such key; did you mean 'frames'?",
    "~: {}": "(empty): there is no such key; known here: " + KEYS,
    "2024-01-01: {}": "2024-01-01: there is no such key; known here: " + KEYS,
    "5: {}": "5: there is no such key; known here: " + KEYS,
    "pca: {x: }": "pca.x: an empty value is not allowed: give a mapping (key: value), or leave the key out",
    "datasets: {}": "datasets: this key must be given",
    "datasets: {k: {}}": "datasets.k.source: this key must be given: where it comes from",
    "datasets: {k: {source: {kind: kitchen}, exclude: [3]}}": (
        "datasets.k.exclude[0]: 3 is not allowed: give a text (globs)"
    ),
    "datasets: {k: {source: {kind: kitchen}, index: {draw: {test: 0.6, validation: 0.5}}}}": (
        "datasets.k.index.draw: test 0.6 and validation 0.5 leave nothing for training"
    ),
}
REFUSED = (
    {f"frames: {{raw: {{dataset: k, {text}}}}}": f"frames.raw.{line}" for text, line in FRAMES.items()}
    | {f"features: {{x: {{{text}}}}}": f"features.x.{line}" for text, line in FEATURES.items()}
    | {f"datasets: {{k: {{source: {text}}}}}": f"datasets.k.{line}" for text, line in SOURCES_OF.items()}
    | OTHERS
)


@pytest.mark.parametrize("text", REFUSED)
def test_a_refusal_names_the_key_and_what_is_allowed(text):
    with pytest.raises(ConfigError) as error:
        check(Study, KITCHEN | yaml.safe_load(text), "config.yaml")
    assert str(error.value) == f"config.yaml: {REFUSED[text]}"


def test_every_wrong_key_has_its_line():
    with pytest.raises(ConfigError) as error:
        check(
            Study, KITCHEN | {"frames": {"a": {"dataset": "k", "size": 17, "quality": 0}}, "pca": {"b": 3}}, "a, b.yaml"
        )
    assert [line.split(": ")[:2] for line in str(error.value).splitlines()] == [
        ["a, b.yaml", "frames.a.size"],
        ["a, b.yaml", "frames.a.quality"],
        ["a, b.yaml", "pca.b"],
    ]


def test_what_is_no_mapping_at_all_is_refused():
    with pytest.raises(ConfigError, match=r"^config.yaml: 'x' is not allowed: give a mapping \(key: value\)"):
        check(Study, "x", "config.yaml")


# ---------------------------------------------------------------- refusals, any

# Letters that build none of the words that must not occur in a message.
WORDS = st.text("qzxj", min_size=1, max_size=4)
WRONG = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | WORDS | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.integers(-9, 9) | st.dates(), inner, max_size=3)
    ),
    max_leaves=5,
)
JARGON = re.compile(
    r"\b(int|str|float|bool|dict|list\[|tuple|None|NoneType|True|False|Literal|Annotated|datetime|[A-Za-z]*(Options|Run|Source|Weights)"
    r"|Study|Kind|[Ii]nput should|Inputs?|inputs|input(?![.:])|pydantic|tag"
    r"|discriminator|valid|validator|instance|integer|string|boolean|dictionary|function"
    r"|literal|ctx|loc|extra|Field|union)\b|\[key\]"
)


def places(value: typing.Any, place: tuple = ()) -> list[tuple]:
    found = [place] if place else []
    for key, inner in value.items() if isinstance(value, dict) else ():
        found += places(inner, (*place, key))
    return found


def put(value: typing.Any, place: tuple, new: typing.Any) -> typing.Any:
    if not place:
        return new
    if not isinstance(value, dict):
        return value  # an earlier change stands in the way
    return value | {place[0]: put(value.get(place[0]), place[1:], new)}


FULL = check(Study, EXAMPLE, "config.yaml").model_dump(mode="json", by_alias=True)
CHANGES = st.lists(st.tuples(st.sampled_from(places(FULL)), st.lists(WORDS, max_size=1), WRONG), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(changes=CHANGES)
def test_no_refusal_speaks_of_python_and_each_names_a_place_of_the_config(changes):
    values = FULL
    for place, more, new in changes:
        values = put(values, (*place, *more), new)
    try:
        check(Study, values, "config.yaml")
    except ConfigError as error:
        changed = {re.sub(r"\.", r"\.", str(part)) for place, more, _ in changes for part in (*place, *more)}
        for line in str(error).splitlines():
            assert line.startswith("config.yaml: ")
            key = line.split(": ")[1]
            if ": there is no " in line:  # a name that is referred to, perhaps by what has not changed
                assert key.split(".")[0] in FULL
                continue
            assert not JARGON.search(line.replace(key, "", 1))  # keys may be called what they like
            assert any(part in key for part in changed), line


@settings(max_examples=100, deadline=None)
@given(values=WRONG)
def test_no_refusal_of_anything_at_all_speaks_of_python(values):
    for model in (Study, FeaturesOptions):
        try:
            check(model, values, "config.yaml")
        except ConfigError as error:
            assert not JARGON.search(str(error))


# ---------------------------------------------------------------- values


def test_options_do_not_change_once_made():
    with pytest.raises(ValidationError):
        FramesOptions().size = 3


def test_resolved_options_hold_every_value_in_force():
    assert resolved(FramesOptions(size=112)) == resolved(FramesOptions(size=112, store="jpeg"))
    assert '"from": "frames"' in resolved(FeaturesOptions()) and '"seed"' not in resolved(FeaturesOptions(), ("seed",))


def test_a_value_written_as_text_counts_as_the_number_it_is():
    assert check(FramesOptions, {"size": "112", "rate": "2.5", "upright": "no"}, "") == FramesOptions(
        size=112, rate=2.5, upright=False
    )


def test_hashes_of_texts_tell_their_order_and_borders():
    assert len({short_hash(*texts) for texts in (("ab", "c"), ("a", "bc"), ("c", "ab"), ("abc",))}) == 4
    assert re.fullmatch("[0-9a-f]{10}", short_hash("\udcff"))


def test_a_path_object_is_taken_for_its_text():
    assert check(FeaturesOptions, {"weights": Path("a/b.pt")}, "").weights == "a/b.pt"
