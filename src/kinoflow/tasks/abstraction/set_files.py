"""The published files of sets and lists, read and written.

    abstraction sets  [{"videos": [name, ...], "labels": {"0": [category], ..., "0,1,2,3": [category]}}, ...]; ours may have
                      "ties": {"0,1": [category, ...]} beside, where a subset has several common concepts
    rankings          {"<references>": [{"common": node, "query": [[path, label, distance], ...], "reference": [...]}, ...]};
                      with "annotators": {who: [distance, ...]} where several people ranked the queries
    list of videos    name, number of frames, labels; one video a line

Category: a class by its dataset name, an abstract node by its id. Names of videos may hold any bytes.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinoflow.errors import DataError
from kinoflow.store.files import parse_json, replacing, write_json, write_text
from kinoflow.tasks.abstraction.sets import Ranking, Sets
from kinoflow.tasks.abstraction.subsets import keys, subsets
from kinoflow.tasks.abstraction.taxonomy import Taxonomy

BLOCK = 1 << 13  # sets written at a time

# ---------------------------------------------------------------- abstraction sets


def write_sets(path: str | Path, sets: Sets, taxonomy: Taxonomy, ties: bool = False) -> None:
    """Write sets, a record a line, as they come: memory does not grow with their number. ties: all tied concepts too."""
    names = [json.dumps(name) for name in sets.names]
    labels = [json.dumps([name]) for name in taxonomy.names]
    marks = [f'"{key}": ' for key in keys(sets.n)]
    separator = "[\n"
    with replacing(path) as new, open(new, "w", encoding="ascii") as file:
        for start in range(0, len(sets), BLOCK):
            block = sets.take(slice(start, start + BLOCK))
            extra = _ties(block, taxonomy) if ties else ("",) * len(block)
            for items, row, more in zip(block.items.tolist(), block.labels.tolist(), extra, strict=True):
                videos = ", ".join([names[i] for i in items])
                found = ", ".join([mark + labels[label] for mark, label in zip(marks, row, strict=True)])
                file.write(f'{separator}{{"videos": [{videos}], "labels": {{{found}}}{more}}}')
                separator = ",\n"
        file.write("\n]\n" if len(sets) else "[]\n")


def _ties(sets: Sets, taxonomy: Taxonomy) -> Iterator[str]:
    """Give the text of each record's tied concepts, "" where there are none."""
    for classes, tied in zip(sets.classes.tolist(), taxonomy.tied(sets.classes), strict=True):
        found = {}
        for position in np.flatnonzero(tied):
            members = [classes[i] for i in subsets(sets.n)[position]]
            found[keys(sets.n)[position]] = [taxonomy.category(label) for label in taxonomy.lcas(members)]
        yield f', "ties": {json.dumps(found)}' if found else ""


def read_sets(path: str | Path, taxonomy: Taxonomy) -> Sets:
    """Read sets, all of one size; their names are numbered as they come.

    Raises DataError, naming the record, for a category that the taxonomy does not have, a subset that is missing or has not
    exactly one label.
    """
    place: dict[str, int] = {}
    items, labels = array("i"), array("i")  # a list of lists would take ten times the memory
    n, wanted = 0, ()
    for number, record in enumerate(_records(path)):
        try:
            videos, given = record["videos"], record["labels"]
            n = n or len(videos)
            wanted = wanted or keys(n)
            items.extend([place.setdefault(str(name), len(place)) for name in videos])
            labels.extend([taxonomy.label(_one(given[key])) for key in wanted])
            if len(videos) != n or len(given) != len(wanted):
                raise DataError(f"it has {len(videos)} videos and {len(given)} labels, not {n} and {len(wanted)}")
        except KeyError as error:
            raise DataError(f"{path}, record {number}: {error} is missing") from None
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}, record {number}: this is no abstraction set ({error})") from None
        except DataError as error:
            raise DataError(f"{path}, record {number}: {error}") from None
    if not items:
        raise DataError(f"{path}: there is no set in it")
    kind = np.int16 if len(taxonomy) < 2**15 else np.int32
    found = np.array(labels, kind).reshape(-1, len(wanted))
    return Sets(tuple(place), np.array(items, np.int32).reshape(-1, n), found)


def _one(value: Any) -> str:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], str):
        raise ValueError(f"a label is a list of one text, not {value!r}")
    return value[0]


def _records(path: str | Path) -> Iterator[Any]:
    """Give the records of a JSON list; of one that has a record a line, line by line."""
    try:
        with open(path, encoding="utf-8") as file:
            if file.readline().strip() == "[":
                lines = (line.strip().rstrip(",") for line in file)
                records = [line for line in (next(lines, ""),) if line]
                if records and _is_json(records[0]):
                    yield parse_json(records[0])
                    yield from (parse_json(line) for line in lines if line and line != "]")
                    return
            file.seek(0)
            found = parse_json(file.read())
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of sets") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: this file cannot be read ({error})") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: this is no list of sets")
    yield from found


def _is_json(text: str) -> bool:
    try:
        parse_json(text)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- rankings


def read_rankings(path: str | Path) -> list[Ranking]:
    """Read rankings, size after size as they stand in the file; DataError names the record at fault."""
    return [ranking for ranking, _ in _rankings(path)]


def read_annotators(path: str | Path) -> list[np.ndarray]:
    """Return each record's distances by person, (people, Q), in the order of ``read_rankings``; (0, Q) without people."""
    return [people for _, people in _rankings(path)]


def _rankings(path: str | Path) -> Iterator[tuple[Ranking, np.ndarray]]:
    for size, number, record in _ranking_records(path):
        try:
            queries = [(_path(name), str(label), float(distance)) for name, label, distance in record["query"]]
            references = [(_path(name), str(label)) for name, label, *_ in record["reference"]]
            if len(references) != size:
                raise ValueError(f"it has {len(references)} references, not {size}")
            if not queries:
                raise ValueError("it has no query")
            people = [list(map(float, row)) for row in (record.get("annotators") or {}).values()]
            ranking = Ranking(
                str(record["common"]),
                tuple(name for name, _ in references),
                tuple(name for name, _, _ in queries),
                tuple(distance for _, _, distance in queries),
                tuple(label for _, label in references),
                tuple(label for _, label, _ in queries),
            )
            yield ranking, np.array(people, np.float64).reshape(len(people), len(queries))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            text = f"{error} is missing" if isinstance(error, KeyError) else f"this is no ranking ({error})"
            raise DataError(f"{path}, size {size}, record {number}: {text}") from None


def _ranking_records(path: str | Path) -> Iterator[tuple[int, int, Any]]:
    try:
        with open(path, encoding="utf-8") as file:
            groups = [(int(size), records) for size, records in parse_json(file.read()).items()]
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file of rankings") from None
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: this is no file of rankings ({error})") from None
    for size, records in groups:
        for number, record in enumerate(records):
            yield size, number, record


def _path(name: Any) -> str:
    return str(name).replace("multi_test", "test_multi")  # as the published names of features have it


def write_rankings(
    path: str | Path, rankings: Iterable[Ranking], people: Sequence[dict[str, Any]] | None = None
) -> None:
    """Write rankings, grouped by their number of references. people: of each ranking, {who: [distance of each query]}."""
    groups: dict[int, list[dict[str, Any]]] = {}
    for number, ranking in enumerate(rankings):
        labels = ranking.query_labels or ("",) * len(ranking.queries)
        known = ranking.reference_labels or ("",) * len(ranking.references)
        record: dict[str, Any] = {
            "common": ranking.common,
            "query": [list(query) for query in zip(ranking.queries, labels, ranking.distances, strict=True)],
            "reference": [[name, label, 0.0] for name, label in zip(ranking.references, known, strict=True)],
        }
        if people and people[number]:
            record["annotators"] = {who: list(map(float, row)) for who, row in people[number].items()}
        groups.setdefault(len(ranking.references), []).append(record)
    write_json(path, {str(size): groups[size] for size in sorted(groups)})


# ---------------------------------------------------------------- lists of videos


class Listed(NamedTuple):
    """A line of a list: a video, its number of frames, its labels."""

    name: str
    frames: int
    labels: tuple[int, ...]


def read_listfile(path: str | Path, suffix: str = "") -> list[Listed]:
    """Read a list of videos; ``suffix`` is put behind every name (Kinetics: ``.mp4``). Empty lines are no rows.

    The row of a video in this list is its row in the published features.
    """
    try:
        lines = Path(path).read_text("utf-8", "surrogateescape").split("\n")
    except OSError as error:
        raise DataError(f"{path}: this list cannot be read ({error.strerror})") from None
    found = []
    for number, line in enumerate(lines, 1):
        cells = line.split()
        if not cells:
            continue
        try:
            frames, *labels = map(int, cells[1:])
        except ValueError:
            raise DataError(f"{path}, line {number}: a line is a name, the number of frames and labels") from None
        found.append(Listed(cells[0] + suffix, frames, tuple(labels)))
    return found


def write_listfile(path: str | Path, rows: Iterable[Listed], suffix: str = "") -> None:
    """Write a list of videos; ``suffix`` is taken off the names. DataError for a name that has white space in it."""
    lines = []
    for row in rows:
        name = row.name.removesuffix(suffix)
        if not name or name.split() != [name]:
            raise DataError(f"{path}: {row.name!r} cannot stand in a list: white space parts its columns")
        lines.append(" ".join(map(str, (name, row.frames, *row.labels))))
    write_text(path, "".join(f"{line}\n" for line in lines))
