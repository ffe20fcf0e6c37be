"""unpack: archives as they come, and archives that mean harm."""

import bz2
import gzip
import io
import lzma
import os
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinoflow.errors import DataError
from kinoflow.store import unpack as unpacking
from kinoflow.store.unpack import unpack

GB = 10**9
FILES = {"a.txt": b"first", "videos/b c.mp4": b"\0" * 700, "videos/deep/#[x];ä.mp4": b"", "-dash": b"x" * 512}


def tar_bytes(members, mode="w", format=tarfile.PAX_FORMAT):
    """A tar of {name: content}; a content that is a TarInfo stands for itself."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode, format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for name, content in members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return target.getvalue()


def zip_bytes(members, **options):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def archive(tmp_path):
    """archive(bytes, name): a file with these bytes; its name need not fit."""

    def make(content, name="data.bin"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return make


def refused(path, out, max_bytes=GB, **options):
    """Unpack what must be refused; check that nothing is left, and return the sentence."""
    with pytest.raises(DataError) as error:
        unpack(path, out, max_bytes, **options)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert [p.name for p in out.parent.iterdir()] == [path.name]
    return str(error.value)


# ---------------------------------------------------------------- what is unpacked


@pytest.mark.parametrize("name", ["data.zip", "data.tar.gz", "data"])
@pytest.mark.parametrize("kind", ["zip", "tar", "gz", "bz2", "xz", "old"])
def test_what_an_archive_is_its_content_tells(archive, out, kind, name):
    if kind == "zip":
        content = zip_bytes(FILES.items())
    elif kind == "old":
        content = tar_bytes(FILES.items(), format=tarfile.USTAR_FORMAT)
    else:
        content = tar_bytes(FILES.items(), mode="w" if kind == "tar" else f"w:{kind}")
    assert unpack(archive(content, name), out, GB) == sum(map(len, FILES.values()))
    assert contents(out) == FILES
    assert sorted(p.name for p in out.parent.iterdir()) == sorted([name, "out"])


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_a_single_compressed_file_loses_its_suffix(archive, out, module):
    suffix = {gzip: ".gz", bz2: ".bz2", lzma: ".xz"}[module]
    unpack(archive(module.compress(b"one,two\n"), f"list.csv{suffix}"), out, GB)
    assert contents(out) == {"list.csv": b"one,two\n"}


def test_folders_and_dots_in_names_are_harmless(archive, out):
    folder = tarfile.TarInfo("./a")
    folder.type = tarfile.DIRTYPE
    unpack(archive(tar_bytes([("", folder), ("", folder), ("./a//./b", b"1")])), out, GB)
    assert contents(out) == {"a/b": b"1"}
    (out.parent / "data.bin").unlink()
    unpack(archive(zip_bytes([("a/", b""), ("a/b", b"1"), ("empty/", b"")])), out.parent / "zip", GB)
    assert contents(out.parent / "zip") == {"a/b": b"1"}
    assert (out.parent / "zip" / "empty").is_dir()


def test_modes_and_times_are_not_taken_over(archive, out):
    info = tarfile.TarInfo("run")
    info.mode, info.mtime, info.uid = 0o6777, 1, 4711
    unpack(archive(tar_bytes([("", info)])), out, GB)
    status = (out / "run").stat()
    assert stat.S_IMODE(status.st_mode) & 0o7111 == 0
    assert status.st_mtime > 1e9
    assert status.st_uid == os.getuid()


any_name = st.binary(min_size=1, max_size=30).map(lambda b: b.replace(b"\0", b"0").replace(b"/", b"_"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(any_name, st.binary(max_size=600), min_size=1, max_size=4), st.sampled_from(["pax", "gnu", "zip"])
)
def test_names_may_hold_any_bytes(files, kind):
    """Below a folder, so that a name may begin as it likes."""
    files = {b"d/" + name: content for name, content in files.items() if b".." not in name and name != b"."}
    named = [(os.fsdecode(name), content) for name, content in files.items()]
    if kind == "zip":
        files = {name: content for name, content in files.items() if not name.isascii() or b"\\" not in name}
        content = zip_bytes([(name.decode("cp437"), content) for name, content in files.items()])
        content = without_utf8_mark(content, list(files))
    else:
        content = tar_bytes(named, format=tarfile.PAX_FORMAT if kind == "pax" else tarfile.GNU_FORMAT)
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder, "x")).write_bytes(content)
        unpack(path, Path(folder, "out"), GB)
        found = {
            os.fsencode(p.relative_to(folder)): p.read_bytes() for p in Path(folder, "out").rglob("*") if p.is_file()
        }
    assert found == {b"out/" + name: content for name, content in files.items()}


def without_utf8_mark(content, names):
    """Put raw bytes in place of the UTF-8 that zipfile writes, as archivers do that know nothing of UTF-8."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(target, "w") as archive:
        for info, name in zip(source.infolist(), names, strict=True):
            new = zipfile.ZipInfo("d/" + "x" * (len(name) - 2))
            archive.writestr(new, source.read(info))
    raw = target.getvalue()
    for name in names:  # once before the data, once in the directory; names of one length follow in order
        place = b"d/" + b"x" * (len(name) - 2)
        raw = patched(raw, place, name)
    return raw


def patched(raw, place, name):
    for header, at, length in ((b"PK\3\4", 30, 26), (b"PK\1\2", 46, 28)):
        start = raw.find(header)
        while start >= 0:
            size = struct.unpack("<H", raw[start + length : start + length + 2])[0]
            if raw[start + at : start + at + size] == place:
                raw = raw[: start + at] + name + raw[start + at + size :]
                break
            start = raw.find(header, start + 1)
    return raw


def test_what_is_there_already_is_not_touched(archive, out):
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(DataError, match="is there already"):
        unpack(archive(zip_bytes([("a", "1")])), out, GB)
    assert contents(out) == {"mine": b"x"}


def test_a_killed_unpacking_leaves_nothing_half_and_the_next_one_cleans_up(archive, out):
    path = archive(tar_bytes([(f"{i}", b"x" * 100) for i in range(4000)]))
    words = [sys.executable, "-c", "import sys; from kinoflow.store.unpack import unpack; unpack(*sys.argv[1:], 10**9)"]
    source = Path(__file__).resolve().parents[2] / "src"
    child = subprocess.Popen([*words, path, out], env=os.environ | {"PYTHONPATH": str(source)})
    while not (begun := [p for p in out.parent.glob(".out:*") if (p / "10").exists()]) and child.poll() is None:
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert begun and not out.exists()
    path.write_bytes(tar_bytes([("a", b"1")]))
    unpack(path, out, GB)
    assert sorted(p.name for p in out.parent.iterdir()) == ["data.bin", "out"]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a/..", "C:\\x", "c:x", "\\x", "a\\..\\..\\x"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_members_that_lead_out_of_the_folder_are_refused(archive, out, name, kind):
    members = [("good", b"1"), (name, b"2")]
    text = refused(archive(tar_bytes(members) if kind == "tar" else zip_bytes(members)), out)
    assert repr(name) in text


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.LNKTYPE, "hard link"),
        (tarfile.CHRTYPE, "device or pipe"),
        (tarfile.BLKTYPE, "device or pipe"),
        (tarfile.FIFOTYPE, "device or pipe"),
    ],
)
def test_members_of_a_tar_that_are_no_files_are_refused(archive, out, kind, word):
    info = tarfile.TarInfo("odd")
    info.type, info.linkname = kind, "good"
    text = refused(archive(tar_bytes([("good", b"1"), ("", info)])), out)
    assert word in text and "'odd'" in text


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_members_of_a_zip_that_are_no_files_are_refused(archive, out, kind):
    info = zipfile.ZipInfo("odd")
    info.external_attr = (kind | 0o777) << 16
    assert "'odd'" in refused(archive(zip_bytes([("good", b"1"), (info, b"/etc/passwd")])), out)


@pytest.mark.parametrize("name", [b"\0Z", b"Z\0", b"\0/"])
def test_a_zip_with_a_zero_byte_in_a_name_is_refused(archive, out, name):
    content = zip_bytes([("QQ", b"1")]).replace(b"QQ", name)
    assert "has a name with a zero byte" in refused(archive(content), out)


def test_a_file_below_a_link_never_leaves_the_folder(archive, out, tmp_path):
    link = tarfile.TarInfo("a")
    link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere")
    refused(archive(tar_bytes([("", link), ("a/x", b"1")])), out)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["a", "a"], ["a", "./a"], ["a/b", "a//b"], ["a", "a/b"], ["a/b", "a"], ["a", "a/"]])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_are_there_twice_are_refused(archive, out, names, kind):
    members = [(name, b"") for name in names]
    if kind == "tar" and names[1] == "a/":
        members[1] = ("", tarfile.TarInfo("a"))
        members[1][1].type = tarfile.DIRTYPE
    refused(archive(tar_bytes(members) if kind == "tar" else zip_bytes(members)), out)


@pytest.mark.parametrize("kind", ["tar", "zip", "gz"])
def test_the_limit_is_kept_to_the_byte(archive, out, kind):
    members = [("a", b"x" * 600), ("b", b"y" * 400)] if kind != "gz" else [("a", b"x" * 1000)]
    content = {
        "tar": lambda: tar_bytes(members),
        "zip": lambda: zip_bytes(members),
        "gz": lambda: gzip.compress(members[0][1]),
    }
    path = archive(content[kind]())
    assert "1.0 kB" not in refused(path, out, max_bytes=999)
    assert unpack(path, out, 1000) == 1000


@pytest.mark.parametrize("kind", ["tar.gz", "zip", "gz"])
def test_a_bomb_is_refused_whatever_the_limit(archive, out, kind, monkeypatch):
    monkeypatch.setattr(unpacking, "SMALL", 1 << 20)
    zeros = bytes(4 << 20)
    if kind == "zip":
        content = zip_bytes([("zeros", zeros)])
    else:
        content = gzip.compress(tar_bytes([("zeros", zeros)]) if kind == "tar.gz" else zeros)
    assert "bomb" in refused(archive(content), out, max_bytes=10**15)


def test_padding_without_end_is_refused(archive, out, monkeypatch):
    monkeypatch.setattr(unpacking, "SMALL", 1 << 20)
    content = gzip.compress(tar_bytes([("a", b"1")]) + bytes(4 << 20))
    assert "bomb" in refused(archive(content), out)


def test_a_header_without_end_is_refused(archive, out):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    content = tar_bytes([("a", b"1")])[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)
    assert "header" in refused(archive(content), out)


def test_a_zip_that_lies_about_sizes_is_refused(archive, out):
    content = zip_bytes([("a", b"x" * 100_000)])
    size = struct.pack("<L", 100_000)
    assert content.count(size) == 2
    refused(archive(content.replace(size, struct.pack("<L", 10))), out)


def test_too_many_members_are_refused(archive, out):
    path = archive(tar_bytes([(str(i), b"") for i in range(11)]))
    assert "'10'" in refused(path, out, max_members=10)
    assert unpack(path, out, GB, max_members=11) == 0


def test_folders_without_end_are_refused(archive, out):
    refused(archive(tar_bytes([("a/" * 1500 + "x", b"")])), out)
    refused(archive(tar_bytes([("x" * 300, b"")])), out)


@pytest.mark.parametrize("kind", ["tar", "gz", "bz2", "xz", "zip"])
def test_a_truncated_archive_is_refused_wherever_it_ends(archive, out, kind):
    members = [(f"{i}", os.urandom(1000)) for i in range(3)]
    whole = zip_bytes(members) if kind == "zip" else tar_bytes(members, mode="w" if kind == "tar" else f"w:{kind}")
    end = 3 * 1536 if kind == "tar" else len(whole) - 1  # a tar says no more after its first empty block
    for cut in sorted({end, 1536, 3072, 2000, 512, end - 10}):
        refused(archive(whole[:cut]), out)


def test_damage_in_the_middle_is_refused(archive, out):
    plain = bytearray(tar_bytes([("a", b"1"), ("b", b"2"), ("c", b"3")]))
    plain[1024 + 10] ^= 255  # in the header of b: tarfile alone would end there without a word
    assert "'a'" in refused(archive(bytes(plain)), out)
    packed = bytearray(zip_bytes([("a", b"1" * 100)], compresslevel=0))
    packed[packed.index(b"1" * 100)] ^= 1
    assert "damaged" in refused(archive(bytes(packed)), out)


def test_what_is_no_archive_is_told(archive, out):
    assert "RAR" in refused(archive(b"Rar!\x1a\7\0" + bytes(600)), out)
    assert "7-Zip" in refused(archive(b"7z\xbc\xaf\x27\x1c" + bytes(600)), out)
    for content in (b"", b"text\n" * 300, bytes(1024)):
        assert "neither zip nor tar" in refused(archive(content), out)


def test_a_zip_with_a_password_is_told(archive, out):
    content = bytearray(zip_bytes([("a", b"1")]))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    assert "password" in refused(archive(bytes(content)), out)
