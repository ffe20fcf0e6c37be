"""What an option allows, in words."""

import datetime
import typing

import pytest

from kinoflow import wording
from kinoflow.options import Options, option


class Sample(Options):
    """A sample."""

    a: typing.Annotated[int, "note"] | None = option(None, "a", "pixels", ge=1)
    b: dict[str, tuple[float, ...]] = option({}, "b", "", min_length=2)
    c: typing.Literal["x"] | int = option("x", "c", "", ge=0, lt=5)
    d: str = option("", "d", "text", pattern="^x$")


@pytest.mark.parametrize(
    "name, words",
    [
        ("a", "a whole number at least 1 (pixels)"),
        ("b", "a mapping with at least 2 entries, each value a list, each item a number"),
        ("c", "x or a whole number"),
        ("d", "a text of the form ^x$ (text)"),
    ],
)
def test_words_for_kinds(name, words):
    assert wording.allowed(Sample.model_fields[name]) == words


RECURSIVE: list = []
RECURSIVE.append(RECURSIVE)


@pytest.mark.parametrize(
    "value, text", [(3, "3"), (2.50, "2.5"), (1e6, "1000000"), (1e-9, "0.000000001"), (4_000_000_000, "4000000000")]
)
def test_numbers_are_said_without_exponents(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "an empty value"),
        (True, "true"),
        (1e300, "1e+300"),
        ({"a": None}, '{"a": null}'),
        ("a\nb", "'a\\nb'"),
        ("\udcff", "'\\udcff'"),
        ({datetime.date(2024, 1, 1): 2}, "this value"),
        (RECURSIVE, "this value"),
        ("x" * 99, f"'{'x' * 56}..."),
    ],
)
def test_values_are_shown_about_as_they_were_written(value, text):
    assert wording.shown(value) == text
