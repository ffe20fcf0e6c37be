"""A command line is made from the signature of a stage: flags, values, checks of its files."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

from kinoflow import command
from kinoflow.fingerprint import stage_code
from kinoflow.options import Name, Options, UserPath, option
from kinoflow.stage import Folder, In, Out, State
from kinoflow.store.files import write_text
from kinoflow.store.shards import writing

ANY_BYTES = os.fsdecode(b"a \xff\n'\".csv")


class DrawOptions(Options):
    """Splits."""

    test: float = option(0.2, "share for testing", "share", ge=0, le=1)


class SampleOptions(Options):
    """A sample of everything an option may be."""

    source: Literal["frames", "video"] = option("frames", "what it reads", "", alias="from")
    size: int = option(256, "short side", "pixels", ge=16, le=2160)
    rate: float | None = option(None, "frames a second", "frames per second", gt=0, le=100)
    upright: bool = option(True, "turned 100 %", "")
    recording: str = option("", "an expression", "regex")
    include: tuple[str, ...] = option(("*",), "globs", "globs")
    blocks: dict[Name, tuple[int, int]] = option({}, "columns", "columns")
    draw: DrawOptions = option(DrawOptions(), "how splits are drawn", "")
    weights: Literal["none"] | DrawOptions | UserPath = option("none", "weights", "")
    crops: Literal[1, 3] | None = option(1, "crops", "")
    ratios: tuple[Annotated[float, Field(ge=0, le=1)], ...] = option((), "ratios", "")


CALLED = {}


def sample(
    root: Folder,
    table: In,
    shard: Out,
    options: SampleOptions,
    others: list[In] | None = None,
    weights: In | None = None,
    work: State | None = None,
    names: list[str] | None = None,
    workers: int = 1,
    fast: bool = False,
    code: str = "",
) -> None:
    """Do something with a table.

    It takes two lines to say what.

    root: the folder of videos, 100 % of them
    table: the table,
        on two lines
    shard: the shard to write
    """
    CALLED.clear()
    CALLED.update(locals())
    write_text(shard, "done")


@pytest.fixture
def words(tmp_path):
    """The words of a command line that is right."""
    (tmp_path / "t.csv").write_text("video\n")
    return ["--root", str(tmp_path), "--table", str(tmp_path / "t.csv"), "--shard", str(tmp_path / "out.h5")]


def run(words, function=sample):
    return command.run("kinoflow.store.files:write_text", function, [str(word) for word in words])


def test_a_stage_gets_what_its_flags_say(words, tmp_path):
    more = [
        "--others",
        words[3],
        words[3],
        "--work",
        tmp_path / "w",
        "--names",
        "a",
        "b",
        "--workers",
        "3",
        "--fast",
        "true",
    ]
    assert run([*words, *more]) == 0
    assert {
        "root": tmp_path,
        "table": tmp_path / "t.csv",
        "shard": tmp_path / "out.h5",
        "options": SampleOptions(),
        "others": [tmp_path / "t.csv"] * 2,
        "weights": None,
        "work": tmp_path / "w",
        "names": ["a", "b"],
        "workers": 3,
        "fast": True,
        "code": stage_code("kinoflow.store.files:write_text"),
    } == CALLED


def test_the_code_that_is_given_is_taken(words):
    assert run([*words, "--code", "abc"]) == 0
    assert CALLED["code"] == "abc"


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--size", "32"], {"size": 32}),
        (["--from", "video"], {"source": "video"}),
        (["--rate", "1e-05"], {"rate": 1e-05}),
        (["--rate", "null"], {"rate": None}),
        (["--upright", "false"], {"upright": False}),
        (["--recording", "[a-z]+: #1"], {"recording": "[a-z]+: #1"}),
        (["--recording=-(.*)"], {"recording": "-(.*)"}),
        (["--recording", "null"], {"recording": "null"}),
        (["--include", "*.mp4"], {"include": ("*.mp4",)}),
        (["--include", '["*.mp4", "a b"]'], {"include": ("*.mp4", "a b")}),
        (["--ratios", "[0.5, 1]"], {"ratios": (0.5, 1.0)}),
        (["--blocks", "{i3d: [0, 1024]}"], {"blocks": {"i3d": (0, 1024)}}),
        (["--crops", "3"], {"crops": 3}),
        (["--crops", "null"], {"crops": None}),
        (["--draw", "{test: 0.3}"], {"draw": DrawOptions(test=0.3)}),
        (["--draw", '{"test": 0.3}'], {"draw": DrawOptions(test=0.3)}),
        (["--options", '{"size": 32, "from": "video"}'], {"size": 32, "source": "video"}),
        (["--options", "size: 32"], {"size": 32}),
        (["--options", '{"size": 32}', "--size", "64"], {"size": 64}),
        (
            ["--options", json.dumps({"recording": "\U0001f600", "rate": 1e-05})],
            {"recording": "\U0001f600", "rate": 1e-05},
        ),
        (["--options", '{"weights": "a.pt"}'], {"weights": "a.pt"}),
        (["--options", '{"weights": {"test": 0.5}}'], {"weights": DrawOptions(test=0.5)}),
    ],
)
def test_options_are_flags_or_keys_of_options(words, flags, expected):
    assert run([*words, *flags]) == 0
    assert CALLED["options"] == SampleOptions.model_validate(expected)


@pytest.mark.parametrize("text", ['{"size": 32}', "size: 32\nfrom: frames\n"])
def test_options_come_from_a_file(words, tmp_path, text):
    (tmp_path / ANY_BYTES).write_text(text)
    assert run([*words, "--options", f"@{tmp_path / ANY_BYTES}"]) == 0
    assert CALLED["options"] == SampleOptions(size=32)


def test_a_parameter_hides_the_option_of_its_name(words):
    assert run([*words, "--weights", words[3]]) == 0
    assert CALLED["weights"] == Path(words[3]) and CALLED["options"].weights == "none"


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--size", "17.5"], "command line: size: '17.5' is not allowed: give a whole number from 16 to 2160 (pixels)"),
        (["--options", '{"sise": 3}'], "command line: sise: there is no such key; did you mean 'size'?"),
        (["--options", "[1]"], '--options: [1] is not allowed: give a mapping ({"key": value})'),
        (["--options", "{a: [}"], "--options: '{a: [}' is neither JSON nor YAML: "),
        (
            ["--options", "a: 2001-99-99"],
            "--options: 'a: 2001-99-99' is neither JSON nor YAML: '2001-99-99' is written",
        ),
        (["--options", "\udcff"], "--options: '\\udcff' is neither JSON nor YAML: "),
        (["--options", "@gone.json"], "--options: the file gone.json cannot be read: No such file or directory"),
        (["--draw", "{test: [}"], "--draw: '{test: [}' is neither JSON nor YAML: "),
        (["--crops", "2"], "command line: crops: '2' is not allowed: give 1 or 3"),
        (["--draw", "3"], "command line: draw: 3 is not allowed: give a mapping (test)"),
        (["--workers", "x"], "--workers: 'x' is not allowed: give a whole number"),
        (["--fast", "1"], "--fast: '1' is not allowed: give true or false"),
    ],
)
def test_a_wrong_value_is_one_sentence_and_status_1(words, capsys, flags, sentence):
    assert run([*words, *flags]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"kinoflow sample: {sentence}") and said.count("\n") == 1


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--sise", "3"], "there is no flag --sise; did you mean --size?"),
        (["--sise=3"], "there is no flag --sise; did you mean --size?"),
        (["--siz", "32"], "there is no flag --siz; did you mean --size?"),
        (["--xyzzyx"], "there is no flag --xyzzyx; see kinoflow sample --help"),
        (["word"], "'word' belongs to no flag; see kinoflow sample --help"),
        (["--size"], "--size: its value is missing (one that begins with - is written --size=VALUE)"),
    ],
)
def test_a_wrong_flag_is_one_sentence_and_status_2(words, capsys, flags, sentence):
    assert run([*words, *flags]) == 2
    assert capsys.readouterr().err == f"kinoflow sample: {sentence}\n"


def test_words_in_front_of_all_flags_are_the_first_parameter(words, tmp_path):
    assert run([str(tmp_path), *words[2:]]) == 0
    assert CALLED["root"] == tmp_path
    videos = []

    def play(videos_: list[State], size: int = 1) -> None:
        videos.extend(videos_)

    assert run(["a.mp4", "b c.mp4", "--size", "2"], play) == 0
    assert videos == [Path("a.mp4"), Path("b c.mp4")]


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["a", "b"], "'b' belongs to no flag; see kinoflow sample --help"),
        (["a", "--root", "b"], "'a' and --root say the same; give one of them"),
    ],
)
def test_words_in_front_that_do_not_fit_are_one_sentence(words, capsys, flags, sentence):
    assert run([*flags, *words[2:]]) == 2
    assert capsys.readouterr().err == f"kinoflow sample: {sentence}\n"


def test_missing_flags_are_named_together(capsys):
    assert run(["--size", "32"]) == 2
    assert capsys.readouterr().err == (
        "kinoflow sample: --root, --table and --shard must be given; see kinoflow sample --help\n"
    )


def test_the_help_tells_every_flag_with_what_is_allowed(capsys):
    assert run(["--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in (
        "usage: kinoflow sample [-h] --root FOLDER --table FILE --shard FILE",
        "Do something with a table. It takes two lines to say what.",
        "--root FOLDER the folder of videos, 100 % of them",
        "--table FILE the table, on two lines",
        '--from VALUE what it reads [frames or video; default: "frames"]',
        "--size VALUE short side [a whole number from 16 to 2160 (pixels); default: 256]",
        "[a number above 0, at most 100 (frames per second); default: empty]",
        "turned 100 % [true or false; default: true]",
        'how splits are drawn [a mapping (test); default: {"test":0.2}]',
    ):
        assert text in said


# ---------------------------------------------------------------- inputs and outputs


def unreadable(path):
    path.write_bytes(b"")
    path.chmod(0)
    return path


@pytest.mark.parametrize(
    "flag, make, sentence",
    [
        ("--table", lambda path: path, "there is no file {}; correct the name, or run the stage that makes it"),
        ("--root", lambda path: path, "there is no folder {}; correct the name, or run the stage that makes it"),
        ("--table", lambda path: path.mkdir() or path, "{} is a folder"),
        ("--root", lambda path: path.touch() or path, "{} is no folder"),
        ("--others", lambda path: path, "there is no file {}; correct the name, or run the stage that makes it"),
        ("--weights", lambda path: path, "there is no file {}; correct the name, or run the stage that makes it"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.txt", ANY_BYTES])
def test_an_input_that_is_not_there_is_told_by_its_flag(words, tmp_path, capsys, flag, make, sentence, name):
    path = make(tmp_path / name)
    shown = str(path) if name == "a.txt" else repr(str(path))
    assert run([*words, flag, path]) == 1
    assert capsys.readouterr().err == f"kinoflow sample: {flag}: {sentence.format(shown)}\n"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_an_input_that_may_not_be_read_is_told(words, tmp_path, capsys):
    assert run([*words, "--weights", unreadable(tmp_path / "w.pt")]) == 1
    assert "cannot be read: this user has no right to" in capsys.readouterr().err


def test_names_of_any_bytes_reach_the_stage(words, tmp_path):
    (tmp_path / ANY_BYTES).touch()
    assert run([*words, "--table", tmp_path / ANY_BYTES, "--shard", tmp_path / f"{ANY_BYTES}.h5"]) == 0
    assert CALLED["table"] == tmp_path / ANY_BYTES and (tmp_path / f"{ANY_BYTES}.h5").read_text() == "done"


def test_a_dry_run_names_the_outputs_and_writes_nothing(words, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert run([*words, "--dry-run", "--log", tmp_path / "logs/a.log"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out.h5'}\n" and sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_shows_names_of_any_bytes_with_escapes(words, tmp_path, capsys):
    assert run([*words, "--dry-run", "--shard", tmp_path / ANY_BYTES]) == 0
    assert capsys.readouterr().out == f"{str(tmp_path / ANY_BYTES)!r}\n"


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("a.h5", b"text", "is no HDF5 file; delete it and run the stage that makes it again"),
        ("a.csv", b"\n", "is no CSV table: its first line must name the columns"),
        ("a.csv", b"a\0b\n", "is no CSV table"),
        ("a.json", b'{"a": ', "is no JSON file: "),
        ("a.json", b"\xff", "is no JSON file: "),
        ("a.safetensors", b"\xff\0\0\0\0\0\0\0{}", "is no safetensors file, or only a part of one"),
        ("a.safetensors", b"", "is no safetensors file, or only a part of one"),
    ],
)
def test_a_dry_run_looks_whether_inputs_are_what_they_are_called(words, tmp_path, capsys, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    assert run([*words, "--weights", tmp_path / name, "--dry-run"]) == 1
    assert f"--weights: {tmp_path / name} {sentence}" in capsys.readouterr().err


def test_a_dry_run_is_content_with_real_files(words, tmp_path, capsys):
    with writing(tmp_path / "a.h5", {}, frames=False) as writer:
        writer.add("v", np.zeros((1, 2), np.float16), np.zeros(1))
    (tmp_path / "a.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.bin").write_bytes(b"anything")
    files = [tmp_path / f"a.{suffix}" for suffix in ("h5", "safetensors", "json", "bin")]
    assert run([*words, "--dry-run", "--others", *files]) == 0
