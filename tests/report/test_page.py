"""The page: one file, well formed, nothing fetched, nothing run, everything escaped, the same bytes every time."""

import base64
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kinoflow.errors import ConfigError, DataError
from kinoflow.media.write import write_video
from kinoflow.report import section, style
from kinoflow.report.options import ReportOptions
from kinoflow.report.page import cell, marked, report
from kinoflow.report.section import (
    Branch,
    Callout,
    Column,
    Figure,
    Heading,
    Section,
    Table,
    Text,
    Tree,
    Video,
    code,
    printable,
)

ROOT = Path(__file__).resolve().parents[2]
VOID = {"meta", "link", "img", "br", "hr", "input"}
ADDRESSES = {
    "src",
    "href",
    "xlink:href",
    "poster",
    "srcset",
    "data",
    "action",
    "formaction",
    "background",
    "cite",
    "ping",
}
EVIL = "<script>alert(1)</script>.mp4"
BYTES = os.fsdecode(b"caf\xe9\n\x1b.mp4")


class Page(HTMLParser):
    """A parsed page: its elements, its visible text, and whether every element is closed where it should be."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def all(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in tags]

    def said(self, tag: str) -> list[str]:
        return [text for inside, text in self.texts if inside == tag]


def png(width: int = 7, height: int = 5) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(out, "PNG")
    return out.getvalue()


def curve(figure) -> None:
    axes = figure.subplots()
    axes.plot([1, 3, 2], label=EVIL)
    axes.legend()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two section files with every kind of block and hostile names, and a folder of benchmark files."""
    folder = tmp_path_factory.mktemp("study")
    write_video(folder / "v.mp4", np.random.default_rng(0).integers(0, 255, (6, 48, 64, 3), np.uint8), 12)
    rows = ((EVIL, 0.5, -3), (BYTES, None, 12345))
    columns = (Column("video & <b>", "name"), Column("accuracy", "number", ".1%"), Column("n", "number", "d"))
    picture = style.svg(curve, 3, 2)
    blocks = (
        Text(f"Of {code(EVIL)} and {code(BYTES)} **nothing** is read: a < b & c."),
        Heading(EVIL),
        Callout(f"{EVIL} is missing.", "warning"),
        Table(f"Of {EVIL}", columns, rows, notes=(BYTES, f"Less {code('a<b')}."), highlight=(1,)),
        Figure(f'a "quoted" {EVIL}', f"Of {EVIL}.", svg=picture),
        Figure("the same again", f"Of {code('x<y')}, one seed.", svg=picture),
        Figure(f'picture of "{EVIL}"', image=png()),
        Video((folder / "v.mp4").read_bytes(), f'video of "{EVIL}"', "It moves.", poster=png()),
        Tree(
            f"Below {EVIL}", (Branch("top", "", (Branch(EVIL, f'of "{EVIL}"', (Branch("leaf", BYTES),)), Branch("b"))),)
        ),
    )
    section.write(folder / "30-b.json", Section("Recognition", 30, blocks, summary=f"Of {EVIL}."))
    section.write(folder / "10-a.json", Section("Data: Zürich <i>", 10, (Text("One."),)))
    section.write(folder / "10-c.json", Section("Data: Zurich", 10, ()))
    for i in range(3):
        (folder / f"usage/probe/{i}.jsonl").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"usage/probe/{i}.jsonl").write_text(json.dumps({"s": 1 + i, "cpu_time": i, "max_rss": 90}))
    return folder


CONFIG = json.dumps({"study": "kitchen", "datasets": {"kitchen": {"source": {"path": EVIL}}}})


def config_in(folder: Path, text: str = CONFIG) -> Path:
    """Write a configuration into a folder; return the file."""
    (folder / "configuration").mkdir(exist_ok=True)
    file = folder / "configuration/report.json"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def html(study) -> str:
    files = sorted(study.glob("*.json"))
    report(study / "page.html", files, ReportOptions(title=EVIL), "s1", [study / "usage"], config_in(study))
    return (study / "page.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_every_element_is_closed_and_every_id_is_unique(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert page.open == []
    assert len(ids) == len(set(ids))


def test_nothing_is_fetched_and_nothing_runs(page, html):
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "script" not in policy and "http" not in policy
    assert page.all("script", "iframe", "object", "embed", "base", "form") == []
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ADDRESSES & set(attributes):
            assert attributes[name].startswith(("#", "data:image/", "data:video/mp4;", "data:,")), (
                tag,
                attributes[name][:50],
            )
    assert not re.search(r"@import|url\((?!#)", html)
    assert set(re.findall(r"https?://[\w./]+", html)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_every_link_and_label_leads_to_something(page):
    ids = {attributes.get("id") for _, attributes in page.elements}
    for tag, attributes in page.elements:
        for name in ("href", "xlink:href", "aria-labelledby"):
            target = attributes.get(name, "")
            if tag in ("a", "use") or name == "aria-labelledby":
                assert not target or target.removeprefix("#") in ids, (tag, target)
    for found in re.findall(r"url\(#([^)]+)\)", str(page.elements)):
        assert found in ids


def test_sections_stand_in_their_order_and_time_and_memory_is_last(page):
    found = [attributes["id"] for attributes in page.all("section")]
    assert found == ["data-zurich", "data-zurich-i", "recognition", "configuration", "time-and-memory"]
    links = [attributes["href"] for attributes in page.all("a")]
    assert all(f"#{name}" in links for name in found)


def test_headings_go_down_one_step_at_a_time(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))


def test_pictures_videos_and_tables_say_what_they_are(page):
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert [(a["width"], a["height"]) for a in page.all("img")] == [("7", "5")]
    assert all(a["aria-label"] for a in page.all("svg", "video"))
    assert all(a["scope"] in ("row", "col") for a in page.all("th"))
    assert (
        len(page.all("table")) == len([a for a in page.all("figcaption") if a.get("id", "").endswith("-caption")]) == 2
    )
    assert page.all("html")[0]["lang"] == "en"


def test_a_tree_folds_below_its_first_level_and_tells_more_on_hover(page, html):
    tree = html[html.index('class="tree"') :]
    tree = tree[: tree.index("</div>")]
    assert re.findall(r"<details( open)?>", tree) == [" open", ""]
    assert [unescape(text) for text in re.findall(r"<summary[^>]*>([^<]*)</summary>", tree)] == ["top", EVIL]
    hints = [each["title"] for each in page.all("summary", "span") if "title" in each]
    assert hints == [f'of "{EVIL}"', printable(BYTES)]
    assert page.said("span")[-2:] == ["leaf", "b"]


def test_hostile_names_are_shown_as_they_are_written(page):
    assert page.said("h1") == [EVIL]
    assert EVIL in page.said("h3")
    assert page.said("code")[1:3] == [EVIL, "caf\\xe9\\n\\x1b.mp4"]
    assert f'picture of "{EVIL}"' in [attributes["alt"] for attributes in page.all("img")]
    assert "caf\\xe9\\n\\x1b.mp4" in page.said("th")
    assert any(EVIL in text for text in page.said("text"))  # the legend of a figure


def test_captions_and_notes_mark_code_as_paragraphs_do(page, html):
    assert {"a<b", "x<y"} <= set(page.said("code"))
    assert (
        "<code>x&lt;y</code>, one seed.</figcaption>" in html
        and '<p class="note">Less <code>a&lt;b</code>.</p>' in html
    )


def test_numbers_are_printed_in_their_columns_format(page):
    assert page.said("td") == ["50.0%", "−3", "–", "12345", *page.said("td")[4:]]


def test_the_video_is_in_the_page_as_it_was(study, page):
    (video,) = page.all("video")
    assert base64.b64decode(video["src"].partition(",")[2]) == (study / "v.mp4").read_bytes()
    assert "controls" in video


def test_the_configuration_can_be_copied_out_of_the_page(page):
    assert yaml.safe_load(page.said("code")[-1]) == json.loads(CONFIG)


def test_all_but_time_and_memory_has_the_same_bytes(study, html):
    (study / "other/probe").mkdir(parents=True, exist_ok=True)
    (study / "other/probe/0.jsonl").write_text('{"s": 7}')
    files = sorted(study.glob("*.json"), reverse=True)
    report(study / "other.html", files, ReportOptions(title=EVIL), "s1", [study / "other"], config_in(study))
    other = (study / "other.html").read_text(encoding="utf-8")
    last = re.compile(r'<section id="time-and-memory">.*?</section>', re.DOTALL)
    assert other != html
    assert last.sub("", other) == last.sub("", html)
    report(study / "again.html", files, ReportOptions(title=EVIL), "s1", [study / "usage"], config_in(study))
    assert (study / "again.html").read_text(encoding="utf-8") == html


def test_without_sections_usage_and_configuration_there_is_still_a_page(tmp_path):
    report(tmp_path / "page.html", [], ReportOptions(), "kitchen")
    page = Page((tmp_path / "page.html").read_text())
    assert page.said("h1") == ["kitchen"]
    assert page.all("section") == []
    assert "No stage has anything to show yet." in page.said("p")


def test_two_sections_of_one_name_and_the_pages_own_names_do_not_clash(tmp_path):
    for i, title in enumerate(("Contents", "Contents", "日本", "日本", "Configuration", "Figure 1", "Time and memory")):
        section.write(tmp_path / f"{i}.json", Section(title, i, (Figure("a", image=png()),)))
    files = sorted(tmp_path.glob("*.json"))
    report(tmp_path / "page.html", files, ReportOptions(), "s", [tmp_path], config_in(tmp_path, "{}"))
    ids = [a["id"] for _, a in Page((tmp_path / "page.html").read_text()).elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_a_table_of_a_thousand_classes_stays_small_and_scrolls(tmp_path):
    rows = tuple((f"class {i}", i, i / 1000) for i in range(1000))
    columns = (Column("class"), Column("segments", "number", "d"), Column("recall", "number", ".3f"))
    section.write(tmp_path / "a.json", Section("Classes", 1, (Table("All", columns, rows),)))
    report(tmp_path / "page.html", [tmp_path / "a.json"], ReportOptions(), "s")
    text = (tmp_path / "page.html").read_text()
    assert len(text) < 150_000
    assert 'class="scroll long"' in text
    assert "1000 rows; the table scrolls." in text


def test_a_broken_section_leaves_no_page_and_names_itself(tmp_path):
    (tmp_path / "30-recognition.json").write_text("{}")
    with pytest.raises(DataError, match=r"30-recognition\.json"):
        report(tmp_path / "page.html", [tmp_path / "30-recognition.json"], ReportOptions(), "s")
    assert not (tmp_path / "page.html").exists()


def test_a_configuration_that_is_no_json_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--config: .*/report\.json holds no JSON text"):
        report(tmp_path / "page.html", [], ReportOptions(), "s", config=config_in(tmp_path, "study: x"))


@given(st.text(st.characters(codec=None), min_size=1))
def test_a_name_set_as_code_reads_as_it_is_whatever_it_holds(name):
    shown = printable(name)
    html = str(marked(f"before {code(shown)} **after**"))
    assert html.startswith("before <code>") and html.endswith("</code> <strong>after</strong>")
    assert unescape(html[len("before <code>") : -len("</code> <strong>after</strong>")]) == shown


@given(st.text(st.characters(codec=None)))
def test_a_paragraph_never_makes_other_elements_than_code_and_strong(text):
    assert set(re.findall(r"<(/?\w+)", str(marked(printable(text))))) <= {"code", "/code", "strong", "/strong"}


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        (0.12345, ".3f", "0.123"),
        (-0.5, ".1%", "−50.0%"),
        (3, ".1f", "3.0"),
        (3.6, "d", "4"),
        (7, "", "7"),
        (1e-9, ".1e", "1.0e−09"),
        (None, ".3f", "–"),
        ("0.52 [0.48, 0.56]", ".3f", "0.52 [0.48, 0.56]"),
    ],
)
def test_cells(value, form, said):
    assert cell(value, Column("c", "number", form)) == said


def test_an_edit_of_the_template_or_style_sheet_makes_the_page_anew(tmp_path):
    shutil.copytree(ROOT / "src/kinoflow", tmp_path / "kinoflow", ignore=shutil.ignore_patterns("__pycache__"))
    stages = ("kinoflow.report.page:report", "kinoflow.datasets.figures:data_section")
    program = f"from kinoflow.fingerprint import stage_code; print(*map(stage_code, {stages}))"

    def codes() -> list[str]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        found = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        return found.stdout.split()

    seen = [codes()]
    for name in ("page.html", "page.css"):
        with open(tmp_path / "kinoflow/report" / name, "a") as file:
            file.write(" ")
        seen.append(codes())
    assert len({page for page, _ in seen}) == 3
    assert len({data for _, data in seen}) == 1
