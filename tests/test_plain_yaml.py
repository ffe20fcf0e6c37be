"""YAML from people: every text is a plain value, or a sentence that names the place."""

import contextlib
import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kinoflow.plain_yaml import PlainLoader

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 8)
)
MERGED = "a0: &a0 {k0: 1}\n" + "".join(
    f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 30)}]\n  k{i}: 1\n" for i in range(1, 6)
)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("2001-99-99", "'2001-99-99' is written as a date and is none; put a text in quotes"),
        ("!!int abc", "'abc' is written as a whole number and is none"),
        ("!!bool maybe", "'maybe' is written as true or false and is none"),
        ("!!float abc", "'abc' is written as a number and is none"),
        ("0x_", "'0x_' is written as a whole number and is none"),
        ("9" * 5000, "is written as a whole number and is none"),
    ],
)
def test_a_value_that_is_not_what_it_is_written_as_is_told_with_its_line(text, sentence):
    with pytest.raises(yaml.YAMLError) as error:
        yaml.load(f"a: 1\nb: {text}", PlainLoader)
    assert sentence in error.value.problem and error.value.problem_mark.line == 1


@pytest.mark.parametrize(
    "text", [BOMB, MERGED, "&a [*a]", "{a: &d {b: *d}}"], ids=["lists", "merged", "circle", "below"]
)
def test_aliases_that_blow_a_text_up_are_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(yaml.YAMLError) as error:
        yaml.load(text, PlainLoader)
    assert "aliases" in error.value.problem
    assert time.process_time() - start < 2


def test_what_people_write_once_and_use_again_is_read():
    assert yaml.load("a: &a {k: 1}\nb: *a\nc: {<<: *a, l: 2}", PlainLoader) == {
        "a": {"k": 1},
        "b": {"k": 1},
        "c": {"k": 1, "l": 2},
    }


@given(st.text(st.sampled_from("0123456789-:.e_xob+ !tinflagsmrup<=~'\"&*[]{},\n"), max_size=40))
def test_no_text_ends_in_another_error(text):
    with contextlib.suppress(yaml.YAMLError, RecursionError):
        yaml.load(text, PlainLoader)
