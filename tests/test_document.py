"""What is written down of the options is what the models say now."""

import json
import re

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.conftest import ROOT

from kinoflow.document import COMMANDS, SCHEMAS, _plain, document, options_page, schema_texts
from kinoflow.wording import keys

SCHEMA_FILES = ROOT / "workflow" / "schemas"
PAGE = ROOT / "docs" / "options.md"
COMMAND = "write it anew: PYTHONPATH=src python -m kinoflow document --schemas workflow/schemas --page docs/options.md"
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]


def test_the_page_of_options_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == options_page(), COMMAND


@pytest.mark.parametrize("name", sorted(schema_texts()))
def test_the_schemas_are_up_to_date(name):
    assert (SCHEMA_FILES / name).read_text() == schema_texts()[name], COMMAND


def test_there_is_no_schema_of_anything_else():
    assert {path.name for path in SCHEMA_FILES.iterdir()} == set(schema_texts()), COMMAND


def test_documenting_writes_the_page_and_all_schemas(tmp_path):
    document(tmp_path / "schemas", tmp_path / "docs" / "options.md")
    assert (tmp_path / "docs" / "options.md").read_text(encoding="utf-8") == options_page()
    assert {path.name: path.read_text() for path in (tmp_path / "schemas").iterdir()} == schema_texts()


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema_texts()[f"{name}.schema.json"]))


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name):
    Draft202012Validator.check_schema(validator(name).schema)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_the_schema_accepts_the_studies_that_come_with_the_workflow(path):
    found = [
        f"{error.json_path}: {error.message}"
        for error in validator("study").iter_errors(yaml.safe_load(path.read_text()))
    ]
    assert not found


def test_the_schema_accepts_a_dataset_that_names_its_descriptor():
    study = {"study": "s", "datasets": {"a": {"descriptor": "epic", "shards": 4}, "b": {"source": {"kind": "kitchen"}}}}
    assert not list(validator("study").iter_errors(study))


@pytest.mark.parametrize(
    "change, place",
    [
        ({"frames": {"raw": {"dataset": "d", "size": 8}}}, "$.frames.raw.size"),
        ({"frames": {"raw": {"dataset": "d", "sise": 16}}}, "$.frames.raw"),
        ({"datasets": {"d": {}}}, "$.datasets.d"),
        ({"studi": "x"}, "$"),
    ],
)
def test_the_schema_refuses_what_the_models_refuse(change, place):
    study = {"study": "s", "datasets": {"d": {"source": {"kind": "kitchen"}}}}
    assert [error.json_path for error in validator("study").iter_errors(study | change)] == [place]


# ---------------------------------------------------------------- the page


def test_code_in_a_text_is_code_on_the_page():
    assert _plain("a < b, `x|y` or ``z``, 2 * 3 `") == "a \\< b, `x\\|y` or `z`, 2 \\* 3 \\`"
    page = options_page()
    assert "which `only` chooses" in page and "``" not in page and "\\`" not in page


def tables() -> dict[str, list[list[str]]]:
    """Return {place: rows of cells} of the page."""
    found = {}
    for part in re.split(r"^## ", options_page(), flags=re.M):
        place = part.partition("\n")[0].strip("`") if not part.startswith("#") else ""
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in part.splitlines() if line.startswith("| ")]
        found[place] = [[cell.strip() for cell in row] for row in rows[1:]]
    return found


def test_every_key_of_every_model_has_a_row_of_four_cells():
    rows = [row for table in tables().values() for row in table]
    assert all(len(row) == 4 and all(row) for row in rows)
    named = {row[0].strip("`") for row in rows}
    assert {key for model in SCHEMAS.values() for key in keys(model)} <= named


def test_every_link_leads_to_a_heading():
    headings = {re.sub(r"[^a-z0-9_ -]", "", place.lower()).replace(" ", "-") for place in tables()}
    links = re.findall(r"\]\(#([^)]*)\)", options_page())
    assert links and set(links) == headings - {""}


def test_what_must_be_given_stands_first_then_what_is_the_place_s_own():
    places = tables()
    assert [row[0] for row in places["frames.<name>"]][:2] == ["`dataset`", "`size`"]
    assert [row[0] for row in places["features.<name>"]][:3] == ["`frames`", "`dataset`", "`from`"]
    assert places["datasets.<name>.source (kind: folder)"][0] == [
        "`kind`",
        "a folder that is there already",
        "must be given",
        "`folder`",
    ]


def test_each_table_stands_below_the_one_it_belongs_to():
    order = list(tables())
    assert order[:2] == ["", "datasets.<name>"]
    commands = [place.removeprefix("kinoflow ").partition(".")[0] for place in order[order.index("report") + 1 :]]
    assert list(dict.fromkeys(commands)) == list(COMMANDS)
    assert order.index("features.<name>.weights") == order.index("features.<name>") + 1
