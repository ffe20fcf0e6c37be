"""SVG inside the page: nothing in it may run or fetch; two figures never share a name."""

import re

import pytest

from kinoflow.report.svg import check_svg, embedded

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt">'


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("<script>alert(1)</script>", "the element 'script'"),
        ("<style>@import url(http://x)</style>", "the element 'style'"),
        ("<foreignObject/>", "the element 'foreignObject'"),
        ("<a href='http://x'/>", "the element 'a'"),
        ("<animate/>", "the element 'animate'"),
        ("<rect onclick='alert(1)'/>", "the attribute 'onclick'"),
        ("<use xlink:href='http://x#y'/>", "refers to 'http://x#y'"),
        ("<image href='data:image/svg+xml;base64,AAAA'/>", "refers to 'data:image/svg"),
        ("<rect style='fill: url(http://x)'/>", "everything must be inside the file"),
        ("<rect fill='url( \"https://x\")'/>", "everything must be inside the file"),
        ("<rect>", "this is no svg"),
        ("<html xmlns='http://www.w3.org/1999/xhtml'/>", "the element"),
    ],
)
def test_what_runs_or_fetches_is_refused(inside, reason):
    with pytest.raises(ValueError, match=reason):
        check_svg(f"{HEAD}{inside}</svg>")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "this is no svg"),
        ("<p>hello</p>", "this is no svg"),
        (f'<!DOCTYPE svg [<!ENTITY a "b">]>{HEAD}</svg>', "document type or entities"),
        ('<svg xmlns="http://www.w3.org/2000/svg"/>', "neither width and height nor a view box"),
    ],
)
def test_what_is_no_plain_svg_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        check_svg(text)


def test_names_inside_are_told_apart_and_references_follow():
    inside = "<defs><clipPath id='a'/><path id='b'/></defs><use xlink:href='#b'/><g clip-path='url(#a)' style='fill: url(\"#a\")'/>"
    text = embedded(f"{HEAD}{inside}</svg>", "f3-", "two shapes")
    assert set(re.findall(r' id="([^"]+)"', text)) == {"f3-a", "f3-b"}
    assert '"#f3-b"' in text
    assert "url(#f3-a)" in text
    assert "url(&quot;#f3-a&quot;)" in text


def test_a_figure_is_one_picture_with_a_name_and_its_size_in_pixels():
    text = embedded(f"{HEAD}<text>a &lt; b</text></svg>", "f1-", 'a "name" <b>')
    assert 'width="96" height="48"' in text
    assert 'viewBox="0 0 96 48"' in text
    assert 'role="img" aria-label="a &quot;name&quot; &lt;b&gt;"' in text
    assert "a &lt; b" in text


def test_pictures_inside_an_svg_stay():
    check_svg(f"{HEAD}<image xlink:href='data:image/png;base64,AAAA\n BBBB=='/></svg>")
