"""Files for the EPIC-KITCHENS anticipation challenges: written, and read back to the same scores.

A file is JSON, or a zip with ``test.json`` in it. SCHEMA is its form: for every action (uid) the scores of all verbs, of all
nouns, and of the 100 likeliest actions as "verb,noun". Actions without a window before them have zeros.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinoflow.datasets.actions import Classes
from kinoflow.errors import ConfigError, DataError
from kinoflow.metrics.anticipation import best_k, marginalise
from kinoflow.store.files import parse_json, write_bytes
from kinoflow.store.unpack import DAMAGE, UNREADABLE

MEMBER = "test.json"
BEST = 100  # actions that are told
CHALLENGE = "action_anticipation"
VERSIONS = {"ek55": "0.1", "ek100": "0.2"}
SUPERVISION = {"sls_pt": 1, "sls_tl": 3, "sls_td": 3}  # levels that EPIC-KITCHENS-100 asks for
_SCORES = {"type": "object", "patternProperties": {"^[0-9]+$": {"type": "number"}}, "additionalProperties": False}
_PAIRS = _SCORES | {"patternProperties": {"^[0-9]+,[0-9]+$": {"type": "number"}}, "maxProperties": BEST}
_ROW = {
    "type": "object",
    "required": ["verb", "noun", "action"],
    "properties": {"verb": _SCORES, "noun": _SCORES, "action": _PAIRS},
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["version", "challenge", "results"],
    "properties": {
        "version": {"enum": sorted(VERSIONS.values())},
        "challenge": {"const": CHALLENGE},
        "sls_pt": {"type": "integer", "minimum": 0, "maximum": 5},
        "sls_tl": {"type": "integer", "minimum": 0, "maximum": 5},
        "sls_td": {"type": "integer", "minimum": 0, "maximum": 5},
        "results": {"type": "object", "additionalProperties": _ROW},
    },
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Challenge:
    """What a file says. verb: (N, V), noun: (N, M); action: for each row {(verb, noun): score}."""

    version: str
    uids: list[str]
    verb: np.ndarray
    noun: np.ndarray
    action: list[dict[tuple[int, int], float]]


def write_challenge(
    path: Path,
    form: str,
    uids: Sequence[str],
    scores: np.ndarray,
    classes: Classes,
    dropped: Sequence[str] = (),
    parts: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a challenge file. scores: (N, C) of actions.

    form: ek55 or ek100. dropped: uids that are filled with zeros. parts: the scores of verbs (N, V) and of nouns (N, M); None:
    the sums of the probabilities of their actions. ConfigError if the dataset has no verbs and nouns.
    """
    if not classes.verb:
        raise ConfigError(f"challenge: {classes.dataset!r} has no verbs and nouns; leave the challenge file out")
    if parts is None:
        parts = {
            "verb": marginalise(scores, np.array(classes.verb), len(classes.verbs)),
            "noun": marginalise(scores, np.array(classes.noun), len(classes.nouns)),
        }
    verb, noun = parts["verb"], parts["noun"]
    best = best_k(scores, BEST)
    rows = [_row(verb[i], noun[i], scores[i], best[i], classes) for i in range(len(uids))]
    nothing = np.zeros(len(classes.names))
    empty = _row(
        np.zeros(len(classes.verbs)), np.zeros(len(classes.nouns)), nothing, best_k(nothing[None], BEST)[0], classes
    )
    content = {
        "version": VERSIONS[form],
        "challenge": CHALLENGE,
        **(SUPERVISION if form == "ek100" else {}),
        "results": dict(zip(uids, rows, strict=True)) | dict.fromkeys(dropped, empty),
    }
    write_bytes(path, _packed(path, json.dumps(content, sort_keys=True).encode()))


def _row(verb: np.ndarray, noun: np.ndarray, action: np.ndarray, best: np.ndarray, classes: Classes) -> dict[str, Any]:
    pairs = {f"{classes.verb[k]},{classes.noun[k]}": float(action[k]) for k in best[::-1]}
    return {
        "verb": {str(i): float(value) for i, value in enumerate(verb)},
        "noun": {str(i): float(value) for i, value in enumerate(noun)},
        "action": pairs,
    }


def _packed(path: Path, content: bytes) -> bytes:
    if path.suffix != ".zip":
        return content + b"\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(zipfile.ZipInfo(MEMBER), content, zipfile.ZIP_DEFLATED)  # without a date of its own
    return packed.getvalue()


def read_challenge(path: Path) -> Challenge:
    """Return what a challenge file says; DataError, naming what is wrong, if it has another form."""
    try:
        content = parse_json(_unpacked(path))
        results = content["results"]
        if content["challenge"] != CHALLENGE:
            raise ValueError(f"it is for the challenge {content['challenge']!r}")
        verb, noun = ([_numbers(row[kind]) for row in results.values()] for kind in ("verb", "noun"))
        action = [{_pair(key): float(value) for key, value in row["action"].items()} for row in results.values()]
        return Challenge(content["version"], list(results), np.array(verb), np.array(noun), action)
    except OSError as error:
        raise DataError(f"{path}: this challenge file cannot be read: {error.strerror}") from None
    except (*DAMAGE, *UNREADABLE, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: this is no challenge file of anticipation: {error}") from None


def _unpacked(path: Path) -> bytes:
    content = Path(path).read_bytes()
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return file.read(MEMBER)


def _numbers(row: dict[str, float]) -> list[float]:
    return [float(row[str(i)]) for i in range(len(row))]


def _pair(key: str) -> tuple[int, int]:
    verb, noun = key.split(",")
    return int(verb), int(noun)
