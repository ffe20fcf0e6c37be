"""Figures: the same bytes every time, safe names, colours that can be told apart."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from kinoflow.report import style
from kinoflow.report.style import PALETTE
from kinoflow.report.svg import check_svg

# Linear RGB as seen without one kind of cone (Machado, Oliveira, Fernandes 2009, severity 1).
EYES = {
    "normal": np.eye(3),
    "red-blind": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green-blind": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "blue-blind": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """The contrast ratio of WCAG 2."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """OKLab (Ottosson 2020) times 100."""
    cones = np.array(
        [
            [0.41222147, 0.53633254, 0.05144599],
            [0.21190350, 0.68069955, 0.10739696],
            [0.08830246, 0.28171884, 0.62997870],
        ]
    )
    lab = np.array(
        [
            [0.21045426, 0.79361779, -0.00407205],
            [1.97799850, -2.42859221, 0.45059371],
            [0.02590404, 0.78277177, -0.80867577],
        ]
    )
    return 100 * lab @ np.cbrt(np.clip(cones @ rgb, 0, None))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_paper(theme):
    colour = {name: shades[theme] for name, shades in PALETTE.items()}
    for paper in ("paper", "tint"):
        assert contrast(colour["ink"], colour[paper]) >= 10
        assert contrast(colour["muted"], colour[paper]) >= 4.5
    assert contrast(colour["series-1"], colour["paper"]) >= 4.5  # links
    assert all(contrast(colour[name], colour["paper"]) >= 3 for name in colour if name.startswith("series"))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", EYES)
def test_colours_of_series_are_told_apart_by_all_eyes(theme, eyes):
    seen = [oklab(np.clip(EYES[eyes] @ linear(PALETTE[f"series-{i}"][theme]), 0, 1)) for i in range(1, 7)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 8


def curves(figure) -> None:
    axes = figure.subplots()
    for i in range(6):
        axes.plot(np.arange(9) * i, label=f"<b>{i} & $x$")
    axes.imshow(np.eye(3), extent=(0, 1, 0, 1))
    axes.legend()


def test_a_figure_is_safe_themed_and_keeps_texts_as_they_stand():
    text = style.svg(curves, 4, 3)
    check_svg(text)
    assert "&lt;b&gt;3 &amp; $x$" in text
    assert "var(--series-1, #0065b0)" in text
    assert "DejaVu" not in text and "<metadata" not in text and "<style" not in text


def test_the_same_figure_gives_the_same_bytes_in_every_process_even_without_a_home():
    program = (
        "from kinoflow.report import style; import numpy as np\n"
        "print(style.svg(lambda f: f.subplots().plot(np.sqrt(np.arange(20)), label='a'), 3, 2), end='')"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7", "HOME": "/proc/none"}
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        environment.pop(name, None)
    other = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert other.stderr == ""
    assert other.stdout == style.svg(lambda f: f.subplots().plot(np.sqrt(np.arange(20)), label="a"), 3, 2)


def test_the_users_own_settings_of_matplotlib_change_nothing_and_are_left_alone():
    import matplotlib

    before = style.svg(curves, 4, 3)
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.fonttype": "path"}):
        assert style.svg(curves, 4, 3) == before
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_a_logarithmic_axis_has_plain_numbers():
    def draw(figure) -> None:
        axes = figure.subplots()
        axes.plot([1, 10, 10000], [1, 2, 3])
        style.log_axis(axes, "x")

    text = style.svg(draw, 3, 2)
    assert ">10 000</text>" in text
    assert "mathdefault" not in text


@pytest.mark.parametrize(
    "values, wanted",
    [
        ([0.012, 0.018], ["0.012", "0.014", "0.016", "0.018"]),  # less than a power of ten, none of them inside
        ([2, 9], ["3", "4", "5"]),
        ([16, 32, 64, 128, 256], ["20", "50", "100", "200"]),
        ([1, 10, 10000], ["1", "10", "100", "1 000"]),
    ],
)
def test_a_short_logarithmic_axis_has_numbers_too(values, wanted):
    def draw(figure) -> None:
        axes = figure.subplots()
        axes.plot(values, values)
        style.log_axis(axes, "x")
        axes.yaxis.set_visible(False)

    text = style.svg(draw, 3, 2)
    assert all(f">{number}</text>" in text for number in wanted)


def test_bars_of_nothing_and_of_zeros_can_be_drawn():
    for values in ([], [0.0, 0.0]):
        style.svg(lambda f, v=values: style.bars(f.subplots(), ["a"] * len(v), v, ["0 s"] * len(v)), 3, 2)


def test_runs_look_different_for_as_long_as_there_are_looks():
    looks = [tuple(style.look(number).values()) for number in range(len(style.SERIES) * len(style.LINES))]
    assert len(set(looks)) >= 2 * len(style.SERIES)
    assert [colour for colour, _ in looks[: len(style.SERIES)]] == list(style.SERIES)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [("cut", "cut"), ("a" * 28, "a" * 28), ("begin" + "x" * 20 + "last end", "begin" + "x" * 14 + "…last end")],
)
def test_a_long_name_is_drawn_without_its_middle(name, drawn):
    assert style.short(name) == drawn and len(style.short(name)) <= 28


def test_what_is_not_to_be_seen_in_a_name_is_drawn_as_an_escape():
    assert style.short("a\nb") == "a\\nb"
