"""Pictures as SVG text inside the page: nothing in them may run or fetch, and no name in them may be met twice."""

import re
from xml.etree import ElementTree

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ALLOWED = frozenset(
    (
        *("svg", "g", "defs", "symbol", "use", "title", "desc"),
        *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "image"),
        *("clipPath", "mask", "marker", "pattern", "linearGradient", "radialGradient", "stop"),
    )
)
_REFERENCE = re.compile(r"url\(\s*['\"]?(#?)")
_PICTURE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=\s]*$")

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def check_svg(text: str) -> None:
    """Raise ValueError if ``text`` is no SVG or holds anything but drawing: scripts, styles, links, addresses."""
    _checked(text)


def embedded(text: str, prefix: str, label: str) -> str:
    """Return SVG for the inside of an HTML page: its ids begin with ``prefix``, it scales, it is one picture named ``label``."""
    root = _checked(text)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _renamed(key, value, prefix))
    width, height = _size(root)
    root.attrib.setdefault("viewBox", f"0 0 {width:g} {height:g}")
    root.attrib.update({"width": f"{width:g}", "height": f"{height:g}", "role": "img", "aria-label": label})
    return ElementTree.tostring(root, encoding="unicode")


def _checked(text: str) -> ElementTree.Element:
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL):
        raise ValueError("the svg holds a document type or entities; only the element <svg> is allowed")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"this is no svg: {error}") from None
    if root.tag != f"{{{SVG}}}svg":
        raise ValueError(f"this is no svg: its first element is {root.tag!r}")
    for element in root.iter():
        _check_element(element)
    _size(root)
    return root


def _check_element(element: ElementTree.Element) -> None:
    name = str(element.tag).removeprefix(f"{{{SVG}}}")
    if name not in ALLOWED:
        raise ValueError(f"the svg holds the element {name!r}, which is not allowed in the report")
    for key, value in element.attrib.items():
        attribute = key.rpartition("}")[2].lower()
        if attribute.startswith("on"):
            raise ValueError(f"the svg holds the attribute {attribute!r}, which is not allowed in the report")
        if attribute in ("href", "src") and not (value.startswith("#") or _PICTURE.match(value)):
            raise ValueError(f"the svg refers to {value[:60]!r}; everything must be inside the file")
        if any(not inside for inside in _REFERENCE.findall(value)):
            raise ValueError(f"the svg refers to {value[:60]!r}; everything must be inside the file")


def _renamed(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return prefix + value
    if key.rpartition("}")[2] == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    return re.sub(r"url\(\s*(['\"]?)#", rf"url(\1#{prefix}", value)


def _size(root: ElementTree.Element) -> tuple[float, float]:
    """Return width and height in CSS pixels, from the element's own lengths or from its view box."""
    lengths = [_pixels(root.get(key, "")) for key in ("width", "height")]
    if None not in lengths:
        return lengths[0], lengths[1]
    box = [_pixels(part) for part in re.split(r"[\s,]+", root.get("viewBox", "").strip())]
    if len(box) != 4 or None in box:
        raise ValueError("the svg tells neither width and height nor a view box")
    return box[2], box[3]


def _pixels(length: str) -> float | None:
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)(px|pt|in)?", length.strip())
    return float(found[1]) * {"pt": 4 / 3, "in": 96}.get(found[2], 1) if found else None
