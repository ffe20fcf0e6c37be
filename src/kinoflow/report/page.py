"""The stage `report`: one HTML file that holds everything it shows, opens without a network, and runs no program."""

import base64
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from kinoflow.errors import ConfigError
from kinoflow.progress import log
from kinoflow.report import section
from kinoflow.report.options import ReportOptions
from kinoflow.report.section import Column, Figure, Heading, Section, Table, media_type, picture_size, printable
from kinoflow.report.style import PALETTE
from kinoflow.report.svg import embedded
from kinoflow.report.usage import usage_section
from kinoflow.stage import In, Out, State
from kinoflow.store.files import parse_json, write_text

TAKEN = ("top", "contents", "content", "configuration")  # ids of the page itself
LONG = 24  # rows from which a table scrolls inside a window of its own
_MARKS = re.compile(r"(?<!`)(?P<fence>`+)(?!`)(?P<code>.+?)(?<!`)(?P=fence)(?!`)|\*\*(?P<strong>.+?)\*\*")


def report(
    page: Out,
    sections: list[In],
    options: ReportOptions,
    study: str,
    usage: list[State] | None = None,
    config: In | None = None,
    timings: list[In] | None = None,
) -> None:
    """Join the sections into one HTML page.

    page: the HTML file to write
    sections: the section files; the page orders them by their own order and title
    study: name of the study
    usage: folders of Snakemake's benchmark files; they give the page its section on time and memory
    config: the study's whole configuration, a file with one JSON text
    timings: section files on what was measured on this machine; their blocks stand in the section on time and memory
    """
    found = sorted((section.read(path) for path in sections), key=lambda item: (item.order, item.title))
    costs = _costs(usage or [], timings or [])
    html = _render(found, costs, printable(options.title or study), printable(study), _as_yaml(config))
    write_text(page, html)
    log.info("%s: %d sections, %.1f MB", page, len(found) + len(costs), len(html) / 1e6)


def _costs(usage: list[Path], timings: list[Path]) -> list[Section]:
    """Return the section on time and memory, if there is anything to tell; what rooms have measured stands at its end."""
    if not usage and not timings:
        return []
    whole = usage_section(usage)
    measured = sorted((section.read(path) for path in timings), key=lambda item: (item.order, item.title))
    blocks = [block for item in measured for block in (Heading(item.title), *item.blocks)]
    return [replace(whole, blocks=(*whole.blocks, *blocks))]


def _as_yaml(config: Path | None) -> str:
    """Return a configuration as the user writes one; "" if there is none."""
    if config is None:
        return ""
    try:
        value = parse_json(Path(config).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"--config: {config} holds no JSON text: {error}") from None
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    return "\n".join(map(printable, text.split("\n")))


def _render(sections: list[Section], usage: list[Section], title: str, study: str, config: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"marked": marked, "cell": cell, "data_uri": data_uri}
    template = environment.get_template("page.html")
    css = Markup((Path(__file__).parent / "page.css").read_text(encoding="utf-8"))
    placed = list(_placed([*sections, *usage]))
    return template.render(
        title=title,
        study=study,
        config=config,
        sections=placed[: len(sections)],
        usage=placed[len(sections) :],
        css=css,
        palette=PALETTE,
        long=LONG,
    )


def _placed(sections: list[Section]) -> Iterator[dict[str, Any]]:
    """Yield sections with what only the whole page decides: ids, and the numbers of tables and figures."""
    ids: set[str] = set()
    figures = tables = 0
    for item in sections:
        blocks = []
        for block in item.blocks:
            number = 0
            if block.kind in ("figure", "video"):
                number = figures = figures + 1
            elif block.kind == "table":
                number = tables = tables + 1
            blocks.append({"block": block, "number": number, "drawn": _drawn(block, number)})
        yield {"id": _name(item.title, ids), "title": item.title, "summary": item.summary, "blocks": blocks}


def _drawn(block: Any, number: int) -> Any:
    if isinstance(block, Figure):
        return Markup(embedded(block.svg, f"f{number}-", block.alt)) if block.svg else picture_size(block.image)
    return [cells(block, row) for row in block.rows] if isinstance(block, Table) else None


def _name(title: str, ids: set[str]) -> str:
    """Return an id of the page that reads like the title and that no other section has."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "section"
    name, count = base, 1
    while name in ids or name in TAKEN or re.fullmatch(r"(figure|table)-\d+", name):
        count += 1
        name = f"{base}-{count}"
    ids.add(name)
    return name


def cells(table: Table, row: tuple[Any, ...]) -> list[str]:
    """Return the text of each cell of a row."""
    return [cell(value, column) for value, column in zip(row, table.columns, strict=True)]


def cell(value: Any, column: Column) -> str:
    """Return a cell as it is printed: numbers in the column's format, with a true minus; a dash where there is nothing."""
    if value is None or value == "":
        return "–"
    if isinstance(value, str):
        return value
    number = float(value) if column.format.endswith(("e", "E", "f", "F", "g", "G", "%")) else value
    text = f"{number:{column.format}}" if column.format != "d" else f"{round(number)}"
    return text.replace("-", "−")


def marked(text: str) -> Markup:
    """Return a paragraph as HTML: `code` and **strong**, everything else escaped."""
    parts, last = [], 0
    for mark in _MARKS.finditer(text):
        parts.append(escape(text[last : mark.start()]))
        if mark["code"] is not None:
            parts.append(Markup("<code>{}</code>").format(_unpadded(mark["code"])))
        else:
            parts.append(Markup("<strong>{}</strong>").format(marked(mark["strong"])))
        last = mark.end()
    return Markup("").join([*parts, escape(text[last:])])


def _unpadded(code: str) -> str:
    return code[1:-1] if len(code) > 2 and code.startswith(" ") and code.endswith(" ") else code


def data_uri(content: bytes) -> str:
    """Return bytes of a picture or an mp4 as an address that holds them."""
    return f"data:{media_type(content) or 'video/mp4'};base64,{base64.b64encode(content).decode()}"
