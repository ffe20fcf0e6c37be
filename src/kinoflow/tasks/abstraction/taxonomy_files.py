"""Files of taxonomies: node-link JSON (the published format), lists of edges, indented text.

    node-link   {"nodes": [{"id", "label", "category"?}], "links" or "edges": [{"source", "target"}], "graph": {...}}
    edges       a parent and its child on each line, parted by a tab, a comma or an arrow (->); "#" begins a comment
    indented    a node on each line, its children below it and further in; one name at two places has two parents

Node-link files keep their labels. Of the others the leaves are the classes, numbered as `taxonomy.of` does.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.errors import DataError
from kinoflow.store.files import parse_json, write_json
from kinoflow.tasks.abstraction.taxonomy import ROOT, Taxonomy, of

EDGE = re.compile(r"\s*->\s*|\t+|\s*,\s*")


def read(path: str | Path) -> Taxonomy:
    """Read a taxonomy of any of the three formats, told by its content; DataError names the file and what is wrong."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such taxonomy") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: this taxonomy cannot be read ({error})") from None
    try:
        if text.lstrip().startswith("{"):
            return from_json(parse_json(text))
        lines = [(number, line) for number, line in _lines(text)]
        if not lines:
            raise DataError("there is no node in it")
        return _of_leaves(_indented(lines) if _is_indented(lines) else _edges(lines))
    except ValueError as error:
        raise DataError(f"{path}: this is no JSON ({error})") from None
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def write(path: str | Path, taxonomy: Taxonomy) -> None:
    """Write a taxonomy as node-link JSON; ``read`` gives it back."""
    write_json(path, to_json(taxonomy))


def to_json(taxonomy: Taxonomy) -> dict[str, Any]:
    """Return a taxonomy as node-link data; what made it stands in its key ``graph``."""
    nodes: list[dict[str, Any]] = [{"id": name, "label": label} for label, name in enumerate(taxonomy.nodes)]
    for node, category in zip(nodes, taxonomy.categories, strict=False):
        if category != node["id"]:
            node["category"] = category
    names = taxonomy.nodes
    links = [{"source": names[parent], "target": names[child]} for parent, child in taxonomy.edges.tolist()]
    about = dict(taxonomy.about) | {"num_class": taxonomy.num_class, "num_nodes": len(taxonomy)}
    if names[taxonomy.root] != ROOT:
        about["root"] = names[taxonomy.root]
    return {"directed": True, "multigraph": False, "graph": about, "nodes": nodes, "links": links}


def from_json(data: Any) -> Taxonomy:
    """Make a taxonomy from node-link data, with the edges under ``links`` or ``edges``; DataError says what is wrong."""
    try:
        about = dict(data.get("graph") or {})
        labelled = [
            (int(node["label"]), str(node["id"]), str(node.get("category", node["id"]))) for node in data["nodes"]
        ]
        pairs = [(str(edge["source"]), str(edge["target"])) for edge in data["links" if "links" in data else "edges"]]
        num_class = int(about.pop("num_class"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(f"this is no node-link data: {type(error).__name__} {error}") from None
    _check_labels(labelled)
    nodes = tuple(name for _, name, _ in sorted(labelled))
    if not 0 <= num_class <= len(nodes):
        raise DataError(f"graph.num_class is {num_class}, but there are {len(nodes)} nodes")
    number = {name: label for label, name in enumerate(nodes)}
    strange = [name for pair in pairs for name in pair if name not in number]
    if strange:
        raise DataError(f"an edge names {strange[0]!r}, which is none of the nodes; add the node or remove the edge")
    edges = np.array(sorted({(number[a], number[b]) for a, b in pairs}), np.int32).reshape(-1, 2)
    categories = tuple(category for _, _, category in sorted(labelled)[:num_class])
    _check_categories(nodes, categories)
    about.pop("num_nodes", None)
    return Taxonomy(nodes, num_class, edges, categories, _root(nodes, edges, about.pop("root", None)), about)


def _check_labels(labelled: list[tuple[int, str, str]]) -> None:
    names: dict[int, str] = {}
    seen: set[str] = set()
    for label, name, _ in labelled:
        if label in names:
            raise DataError(f"the nodes {names[label]!r} and {name!r} have one label, {label}; labels must be unique")
        if name in seen:
            raise DataError(f"the node {name!r} stands there twice")
        names[label] = name
        seen.add(name)
    if missing := sorted(set(range(len(names))) - set(names)):
        raise DataError(f"no node has the label {missing[0]}; labels must be 0 to {len(names) - 1}")


def _check_categories(nodes: tuple[str, ...], categories: tuple[str, ...]) -> None:
    number = {name: label for label, name in enumerate(nodes)}
    first: dict[str, int] = {}
    for label, category in enumerate(categories):
        other = first.setdefault(category, number.get(category, label))
        if other != label:
            raise DataError(f"the nodes {nodes[other]!r} and {nodes[label]!r} have one category, {category!r}")


def _root(nodes: tuple[str, ...], edges: np.ndarray, given: str | None) -> int:
    if (given or ROOT) in nodes:
        return nodes.index(given or ROOT)
    tops = sorted(set(range(len(nodes))) - set(edges[:, 1].tolist()))
    if len(tops) == 1:
        return tops[0]
    raise DataError(f"there is no node {given or ROOT!r}, and {len(tops)} nodes have no parent; add a root above them")


def _lines(text: str):
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].rstrip()
        if line.strip():
            yield number, line


def _is_indented(lines: list[tuple[int, str]]) -> bool:
    """Text is indented unless every line reads as one edge."""
    return not all(len(EDGE.split(line.strip())) == 2 and not line[0].isspace() for _, line in lines)


def _edges(lines: list[tuple[int, str]]) -> list[tuple[str, str]]:
    pairs = [tuple(EDGE.split(line.strip())) for _, line in lines]
    if [name.lower() for name in pairs[0]] in (["parent", "child"], ["source", "target"]):
        pairs = pairs[1:]
    for (number, _), (parent, child) in zip(lines[-len(pairs) :], pairs, strict=True):
        if not (parent and child):
            raise DataError(f"line {number}: there is no name on one side of the edge")
    return pairs


def _indented(lines: list[tuple[int, str]]) -> list[tuple[str, str]]:
    trail: list[tuple[int, str]] = []  # (indent, name) of the line before and of the nodes above it
    pairs: list[tuple[str, str]] = []
    for number, line in lines:
        indent, name = len(line) - len(line.lstrip()), line.strip()
        if "\t" in line[:indent] and " " in line[:indent]:
            raise DataError(f"line {number}: tabs and spaces are mixed before {name!r}; use one of them")
        deeper = bool(trail) and trail[-1][0] < indent
        while trail and trail[-1][0] > indent:
            trail.pop()
        if not deeper and trail and trail[-1][0] == indent:
            trail.pop()
        elif not deeper and pairs:
            raise DataError(f"line {number}: {name!r} is as far in as none of the lines that it may stand below")
        if trail:
            pairs.append((trail[-1][1], name))
        trail.append((indent, name))
    if not pairs:
        raise DataError("no line is further in than another: write a node's children below it, further in")
    return pairs


def _of_leaves(pairs: list[tuple[str, str]]) -> Taxonomy:
    inner = {parent for parent, _ in pairs}
    return of(pairs, {child: child for _, child in pairs if child not in inner})
