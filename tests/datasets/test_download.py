"""The download stage on real files and a real server on the loopback."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kinoflow.cli import STAGES
from kinoflow.datasets import download as stage
from kinoflow.datasets.download import download
from kinoflow.datasets.options import DownloadOptions
from kinoflow.errors import ConfigError, DataError
from kinoflow.fingerprint import stage_code
from kinoflow.options import check

SOURCE = Path(__file__).resolve().parents[2] / "src"


def sum_of(content):
    return hashlib.sha256(content).hexdigest()


def zipped(files):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


class Served(SimpleHTTPRequestHandler):
    asked: list

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *words):
        pass


@pytest.fixture
def owner(tmp_path):
    """The dataset owner's server: owner(name, content) puts a file there and returns its address."""
    folder = tmp_path / "server"
    folder.mkdir()
    handler = type("Handler", (Served,), {"asked": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=folder))
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()

    def put(name, content):
        (folder / name).write_bytes(content)
        return f"http://127.0.0.1:{http.server_port}/{name}"

    put.asked = handler.asked
    yield put
    http.shutdown()
    http.server_close()


@pytest.fixture
def place(tmp_path):
    """Where the dataset goes: .raw and .marker, and .run(files, **options), which returns the marker's content."""

    class Place:
        raw, marker = tmp_path / "data" / "raw", tmp_path / "data" / "fetched.json"

        def run(self, *files, **options):
            options = check(DownloadOptions, {"files": files, "attempts": 1, **options}, "test")
            download(self.raw, self.marker, options)
            return json.loads(self.marker.read_text())["files"]

        def visible(self):
            files = (str(p.relative_to(self.raw)) for p in self.raw.rglob("*") if p.is_file())
            return sorted(name for name in files if not any(part.startswith(".") for part in name.split("/")))

    return Place()


def test_files_are_fetched_verified_unpacked_and_listed(owner, place):
    videos, labels = zipped({"v/1.mp4": b"one", "v/2.mp4": b"two"}), b"video,start\n"
    files = [
        {"url": owner("v.zip", videos), "sha256": sum_of(videos), "name": "videos.zip", "unpack": True},
        {"url": owner("l.csv", labels), "name": "lists/labels.csv"},
    ]
    assert place.run(*files) == [
        {"name": "lists/labels.csv", "size": len(labels), "sha256": sum_of(labels)},
        {"name": "videos.zip", "size": len(videos), "sha256": sum_of(videos)},
    ]
    assert place.visible() == ["lists/labels.csv", "videos.zip", "videos/v/1.mp4", "videos/v/2.mp4"]


def test_the_marker_depends_on_the_files_alone(owner, place, tmp_path):
    files = [{"url": owner(name, name.encode()), "name": name} for name in ("b", "a")]
    place.run(*files)
    first = place.marker.read_bytes()
    place.raw = tmp_path / "elsewhere"
    place.run(*reversed(files))
    assert place.marker.read_bytes() == first
    assert str(tmp_path).encode() not in first


def test_a_second_run_asks_reads_and_unpacks_nothing(owner, place, monkeypatch):
    files = [
        {"url": owner("v.zip", zipped({"1.mp4": b"one"})), "name": "v.zip", "unpack": True},
        {"url": owner("a", b"a"), "name": "a"},
    ]
    place.run(*files)
    first, asked = place.marker.read_bytes(), list(owner.asked)
    for name in ("verified", "take", "fetch", "unpack"):
        monkeypatch.delattr(stage, name)  # whoever needs one of them fails
    place.run(*files)
    assert owner.asked == asked
    assert place.marker.read_bytes() == first


def test_a_touched_file_is_verified_again_and_a_changed_one_stops(owner, place):
    file = {"url": owner("a", b"content"), "name": "a", "sha256": sum_of(b"content")}
    place.run(file)
    os.utime(place.raw / "a", (1, 1))
    place.run(file)
    (place.raw / "a").write_bytes(b"CONTENT")
    with pytest.raises(DataError, match="published one .* move it away"):
        place.run(file)
    assert (place.raw / "a").read_bytes() == b"CONTENT"
    assert owner.asked == ["/a"]


def test_a_file_that_fails_costs_none_that_came(owner, place):
    good = {"url": owner("a", b"a"), "name": "a"}
    with pytest.raises(DataError, match="answers 404"):
        place.run(good, {"url": owner("a", b"a") + "-not", "name": "b"})
    assert not place.marker.exists()
    place.run(good, {"url": owner("b", b"b"), "name": "b"})
    assert owner.asked == ["/a", "/a-not", "/b"]


def test_a_bad_archive_stays_and_leaves_nothing_unpacked(owner, place):
    bad = zipped({"good": b"1", "../evil": b"2"})
    file = {"url": owner("v.zip", bad), "name": "v.zip", "unpack": True}
    with pytest.raises(DataError, match=r"v\.zip: the member '\.\./evil'"):
        place.run(file)
    assert place.visible() == ["v.zip"]
    assert not place.marker.exists()
    place.run(file | {"unpack": False})
    assert owner.asked == ["/v.zip"]


def test_archives_are_known_by_content_and_their_folders_by_name(owner, place):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x"))
    contents = {
        "part.tar.gz": target.getvalue(),
        "data.bin": zipped({"y": b""}),
        "sub/list.csv.gz": gzip.compress(b"1,2"),
    }
    place.run(*({"url": owner(f"{i}", c), "name": n, "unpack": True} for i, (n, c) in enumerate(contents.items())))
    assert place.visible() == sorted([*contents, "part/x", "data.bin.unpacked/y", "sub/list.csv/list.csv"])


def test_all_archives_together_keep_to_the_limit(owner, place):
    files = [
        {"url": owner(f"{n}.zip", zipped({"x": bytes(600)})), "name": f"{n}.zip", "unpack": True} for n in ("a", "b")
    ]
    for _ in range(2):  # a second run counts what the first one has unpacked
        with pytest.raises(DataError, match=r"b\.zip.* makes it more than the 400 bytes .* max_unpacked"):
            place.run(*files, max_unpacked=1e-6)
    place.run(*files, max_unpacked=1.2e-6)


def test_a_new_version_is_unpacked_anew_once_it_is_accepted(owner, place):
    file = {"url": owner("v.zip", zipped({"old": b"1"})), "name": "v.zip", "unpack": True}
    place.run(file)
    owner("v.zip", zipped({"new": b"1"}))
    (place.raw / "v.zip").unlink()
    with pytest.raises(DataError, match="delete .* to accept"):
        place.run(file)
    assert place.visible() == ["v/old"]
    (place.raw / ".v.zip.sha256").unlink()
    place.run(file)
    assert place.visible() == ["v.zip", "v/new"]


def test_a_folder_of_the_user_is_not_unpacked_into(owner, place):
    (place.raw / "v").mkdir(parents=True)
    with pytest.raises(DataError, match="not unpacked by kinoflow"):
        place.run({"url": owner("v.zip", zipped({"a": b"1"})), "name": "v.zip", "unpack": True})


@pytest.mark.parametrize("note", ["[]", "{}", "3", '{"archive": 1, "bytes": 2}', '{"archive": "x"}', "[" * 3000, "{"])
def test_a_folder_with_a_note_that_is_none_of_ours_is_left_alone(owner, place, note):
    (place.raw / "v").mkdir(parents=True)
    (place.raw / "v/.unpacked.json").write_text(note)
    with pytest.raises(DataError, match="not unpacked by kinoflow"):
        place.run({"url": owner("v.zip", zipped({"a": b"1"})), "name": "v.zip", "unpack": True})
    assert (place.raw / "v/.unpacked.json").read_text() == note


@pytest.mark.parametrize("member", [".unpacked.json", ".unpacked.json/x", "./.unpacked.json/"])
def test_an_archive_with_the_name_of_our_note_is_refused(owner, place, member):
    with pytest.raises(DataError, match=r"v\.zip: it has a member \.unpacked\.json, which is the name of a note"):
        place.run({"url": owner("v.zip", zipped({"a": b"1", member: b""})), "name": "v.zip", "unpack": True})
    assert sorted(path.name for path in place.raw.iterdir() if path.is_dir()) == []


# ---------------------------------------------------------------- forms and places


FORM = "1. Sign the licence at https://example.org\n2. Save what you are sent."


def test_a_form_stops_before_fetching_and_tells_what_goes_where(owner, place):
    (place.raw).mkdir(parents=True)
    (place.raw / "have.zip").write_bytes(b"")
    files = [{"name": "have.zip"}, {"name": "sub/want.zip", "sha256": "0" * 64}, {"name": "x", "url": owner("x", b"x")}]
    with pytest.raises(DataError) as error:
        place.run(*files, form=FORM)
    text = str(error.value)
    assert FORM in text
    assert f"sub/want.zip (sha256 {'0' * 64})" in text and f"into {place.raw.resolve()}" in text
    assert "have.zip" not in text
    assert owner.asked == []
    assert not place.marker.exists()


def test_files_behind_a_form_are_taken_from_the_raw_folder(place):
    (place.raw).mkdir(parents=True)
    (place.raw / "v.zip").write_bytes(zipped({"1.mp4": b"1"}))
    place.run({"name": "v.zip", "unpack": True}, form=FORM)
    assert place.visible() == ["v.zip", "v/1.mp4"]


def test_files_behind_a_form_are_taken_from_a_place(place, tmp_path):
    mine = tmp_path / "mine"
    (mine / "sub").mkdir(parents=True)
    (mine / "sub" / "a").write_bytes(b"a")
    file = {"name": "sub/a", "sha256": sum_of(b"a")}
    place.run(file, form=FORM, place=str(mine))
    assert (place.raw / "sub" / "a").samefile(mine / "sub" / "a")
    (mine / "sub" / "a").unlink()
    mine.joinpath("sub").rmdir()
    mine.rmdir()
    place.run(file, form=FORM, place=str(mine))  # once taken, the place is not needed


def test_a_wrong_file_in_the_place_is_not_taken(place, tmp_path):
    (tmp_path / "a").write_bytes(b"wrong")
    with pytest.raises(DataError, match=f"{sum_of(b'wrong')}, the published one is {sum_of(b'right')}"):
        place.run({"name": "a", "sha256": sum_of(b"right")}, form=FORM, place=str(tmp_path))
    assert place.visible() == []


def test_a_link_in_the_place_brings_the_file_that_it_means(place, tmp_path):
    (tmp_path / "disk").write_bytes(b"x")
    (tmp_path / "a").symlink_to("disk")
    place.run({"name": "a"}, form=FORM, place=str(tmp_path))
    assert (place.raw / "a").read_bytes() == b"x"
    assert not (place.raw / "a").is_symlink()


def test_what_a_place_lacks_is_fetched(owner, place, tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    files = [{"name": n, "url": owner(n, n.encode())} for n in ("a", "b")]
    place.run(*files, place=str(tmp_path))
    assert owner.asked == ["/b"]
    with pytest.raises(DataError, match="place: there is no folder"):
        place.run(*files, {"name": "c", "url": owner("c", b"c")}, place=str(tmp_path / "not"))


def test_a_form_without_a_list_of_files_wants_the_folder_filled(place):
    with pytest.raises(DataError, match="put its files into"):
        place.run(form=FORM)
    (place.raw / "1.mp4").write_bytes(b"")
    assert place.run(form=FORM) == []


# ---------------------------------------------------------------- options, command


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ([{"name": "a"}], "'a' needs a url"),
        ([{"name": "a", "url": "http://h/1"}, {"name": "a", "url": "http://h/2"}], "same name"),
        ([{"name": "a", "url": "http://h/1"}, {"name": "a/b", "url": "http://h/2"}], "file and the folder"),
        ([{"name": "../a", "url": "http://h/1"}], "name"),
        ([{"name": ".a", "url": "http://h/1"}], "name"),
        ([{"name": "a/.b", "url": "http://h/1"}], "name"),
        ([{"name": "/a", "url": "http://h/1"}], "name"),
        ([{"name": "a\nb", "url": "http://h/1"}], "name"),
        ([{"name": "a", "url": "ftp://h/1"}], "url"),
        ([{"name": f"a.{s}", "url": "http://h/1", "unpack": True} for s in ("zip", "tar")], "would unpack into 'a'"),
        ([{"name": "a.zip", "url": "http://h/1", "unpack": True}, {"name": "a/b", "url": "http://h/2"}], "unpack into"),
    ],
)
def test_options_that_cannot_work_are_refused(place, files, text):
    with pytest.raises(ConfigError, match=text):
        place.run(*files)
    assert not place.raw.exists()


def command(place, *words):
    words = [sys.executable, "-m", "kinoflow", "download", "--raw", place.raw, "--marker", place.marker, *words]
    return subprocess.run(words, env=os.environ | {"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True)


def test_the_command_fetches_and_a_dry_run_does_not(owner, place):
    files = json.dumps([{"url": owner("a", b"content"), "name": "a"}])
    dry = command(place, "--files", files, "--dry-run")
    assert (dry.returncode, dry.stdout, owner.asked) == (0, f"{place.marker}\n", [])
    assert not place.raw.exists()
    done = command(place, "--files", files, "--patience", "5")
    assert done.returncode == 0, done.stderr
    assert "download a: 7 bytes" in done.stderr
    assert place.visible() == ["a"]


def test_the_command_shows_the_steps_of_a_form(place):
    stopped = command(place, "--options", json.dumps({"files": [{"name": "want.zip"}], "form": FORM}))
    assert stopped.returncode == 1
    assert FORM in stopped.stderr and "    want.zip\n" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_the_code_of_the_stage_can_be_followed():
    assert stage_code(STAGES["download"][0])
