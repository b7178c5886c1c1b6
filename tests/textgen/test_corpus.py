"""Where text comes from: whatever holds it, the same text; and clear words for what is none."""

from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import shutil
import sys
import sysconfig
import tarfile
import threading
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencli.core.errors import GencliError, MissingError, UsageError
from gencli.textgen import cleaning, corpus, reading
from gencli.textgen.cleaning import Cleaning, decoded
from gencli.textgen.corpus import Span, Text, gather, split

BOOK = "Naïve 红楼梦 😀\nThe second line.\n\nThe end.\n"


def put(path: Path, contents: str | bytes = BOOK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return path


def contents(text: Text) -> str:
    return text.path.read_bytes().decode()


def library(folder: Path) -> Path:
    """Three documents in two folders, and things that are none."""
    put(folder / "a.txt", "first")
    put(folder / "b.md", "second\n")
    put(folder / "deep" / "er" / "c", "third\n\n")
    put(folder / "empty.txt", "")
    put(folder / "photo.jpg", b"\xff\xd8\xff\xe0 no letters")
    put(folder / ".hidden", "not me")
    return folder


JOINED = "first\n\nsecond\n\nthird\n\n"


def pack(folder: Path, archive: Path) -> Path:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in paths:
                zipped.write(path, path.relative_to(folder.parent))
    else:
        mode = {".tar": "w", ".gz": "w:gz", ".xz": "w:xz"}[archive.suffix]
        with tarfile.open(archive, mode) as tar:  # type: ignore[call-overload]
            for path in paths:
                tar.add(path, path.relative_to(folder.parent))
    return archive


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "home" / "cache" / "text"


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


# ------------------------------------------------------------------ where it comes from


def test_a_file_stays_exactly_what_it_is(tmp_path: Path) -> None:
    for ending in ("", "\n", "\n\n\n"):
        text = gather([put(tmp_path / "book.txt", BOOK.strip() + ending)])
        assert contents(text) == BOOK.strip() + ending
        assert text.size == len(contents(text).encode())
        assert text.documents.tolist() == [0]
        assert text.names == (str(tmp_path / "book.txt"),)


def test_a_folder_is_its_documents(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "gencli"):
        text = gather([str(library(tmp_path / "library"))])
    assert contents(text) == JOINED
    assert text.documents.tolist() == [0, 7, 15]
    assert caplog.text == ""  # a file whose name says that it is a picture was never meant


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.gz", ".tar.xz"])
def test_an_archive_is_read_like_its_folder(tmp_path: Path, suffix: str) -> None:
    folder = library(tmp_path / "library")
    text = gather([pack(folder, tmp_path / f"packed{suffix}")])
    assert contents(text) == JOINED
    assert text.documents.tolist() == [0, 7, 15]
    assert text.fingerprint == gather([folder]).fingerprint


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_compressed_files(tmp_path: Path, suffix: str, compress: object) -> None:
    assert callable(compress)
    packed = put(tmp_path / f"book.txt.{suffix}", compress(BOOK.encode()))
    assert contents(gather([packed])) == BOOK
    shutil.copy(packed, tmp_path / "book.unnamed")  # judged by its contents
    assert contents(gather([tmp_path / "book.unnamed"])) == BOOK
    (tmp_path / "folder").mkdir()
    packed.rename(tmp_path / "folder" / packed.name)
    assert contents(gather([tmp_path / "folder"])) == BOOK


def test_several_are_one_text_in_their_order(tmp_path: Path) -> None:
    a, b = put(tmp_path / "z.txt", "one"), library(tmp_path / "library")
    text = gather([a, b, a])
    assert contents(text) == "one\n\n" + JOINED + "\none\n"
    assert text.documents.tolist() == [0, 5, 12, 20, 28]


class Input(io.BytesIO):
    """What stands in for standard input."""

    @property
    def buffer(self) -> Input:
        return self


def test_standard_input(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Input(BOOK.encode()))
    text = gather(["-"])
    assert contents(text) == BOOK
    assert [path.name for path in entries(cache)] == [text.path.parent.name]
    monkeypatch.setattr(sys, "stdin", Input(BOOK.encode()))
    assert gather(["-"]).path == text.path
    monkeypatch.setattr(sys, "stdin", Input(b"other"))
    assert gather(["-"]).path != text.path
    monkeypatch.setattr(sys, "stdin", Input(b""))
    with pytest.raises(GencliError, match="standard input is empty"):
        gather(["-"])
    monkeypatch.setattr(sys, "stdin", Input(b"caf\xe9"))
    with pytest.raises(GencliError, match="standard input is not utf-8: byte 0xe9 at offset 3"):
        gather(["-"])
    assert len(entries(cache)) == 2


def test_the_library_of_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lib"
    for name in ("abc.py", "json/tool.py", "json/tests.py"):
        put(folder / name, f"# {name}\n")
    others = ("test/a.py", "json/tests/b.py", "site-packages/torch/c.py", "idlelib/idle_test/d.py", "notes.txt")
    for name in (*others, "pydoc_data/topics.py", "_sysconfigdata_x86.py"):
        put(folder / name, "never\n")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(folder))
    assert contents(gather(["@python"])) == "# abc.py\n\n# json/tests.py\n\n# json/tool.py\n"
    shutil.rmtree(folder)
    with pytest.raises(MissingError, match="@python"):
        gather(["@python"])


def test_the_reference_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    import pydoc_data.topics

    text = gather(["@pydoc"])
    assert len(text.documents) == len(pydoc_data.topics.topics) > 50
    written = text.path.read_bytes()
    starts = [*text.documents.tolist(), len(written)]
    for topic, first, last in zip(sorted(pydoc_data.topics.topics), starts, starts[1:], strict=False):
        assert written[first:last].decode().rstrip() == pydoc_data.topics.topics[topic].rstrip()
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(MissingError, match="@pydoc"):
        gather(["@pydoc"])


# ------------------------------------------------------------------ what is no text


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.txt", b"", "a.txt is empty"),
        ("a.txt", b"\xef\xbb\xbf", "nothing is left"),
        ("a.txt.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.txt", b"caf\xe9 noir", "a.txt is not utf-8: byte 0xe9 at offset 3 "),
        ("a.txt", b"x" * 3_000_000 + b"\xff", "byte 0xff at offset 3,000,000"),
        ("a.txt", "é".encode()[:1], "byte 0xc3 at offset 0"),
        ("a.txt", "letters".encode("utf-16"), "not utf-8: byte 0xff at offset 0"),
        ("a.txt", bytes(5000), "is no text: it is binary: 5,000 of its first 5,000 bytes are 0"),
        ("a.bin", b"\x7fELF" + bytes(range(256)), "it is a program"),
        ("a.pdf", b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n", "it is a PDF"),
        ("a.txt.gz", gzip.compress(b"text" * 9000, mtime=0)[:60], "cannot read .*a.txt.gz"),
    ],
)
def test_what_is_no_text(tmp_path: Path, cache: Path, name: str, data: bytes, told: str) -> None:
    with pytest.raises(GencliError, match=told) as caught:
        gather([put(tmp_path / name, data)])
    assert caught.value.hint
    assert entries(cache) == []


def test_hints_name_the_likely_encoding(tmp_path: Path) -> None:
    for data, encoding in ((b"caf\xe9", "latin-1"), ("café".encode("utf-16"), "utf-16")):
        file = put(tmp_path / "a.txt", data)
        with pytest.raises(GencliError) as caught:
            gather([file])
        assert f"--encoding {encoding}" in str(caught.value.hint)
        assert contents(gather([file], Cleaning(encoding=encoding))) == "café"


@pytest.mark.parametrize("encoding", ["no-such", "rot13", "", "base64", "a\0b"])
def test_an_unknown_encoding(encoding: str) -> None:
    with pytest.raises(UsageError, match="encoding"):
        Cleaning(encoding=encoding)


def test_zeros_in_a_text_are_characters(tmp_path: Path) -> None:
    text = "A tape of " + "letters " * 50 + "\0 and one zero.\n"
    assert contents(gather([put(tmp_path / "a.txt", text)])) == text


def test_one_character_is_a_text(tmp_path: Path) -> None:
    text = gather([put(tmp_path / "a.txt", "é")])
    assert contents(text) == "é"
    with pytest.raises(GencliError, match="only 2 bytes"):
        split(text, 0.1)


def test_what_is_not_there() -> None:
    with pytest.raises(UsageError, match="no text"):
        gather([])
    for name in ("nowhere.txt", "@nothing"):
        with pytest.raises(UsageError, match=name) as caught:
            gather([name])
        assert "@python" in str(caught.value.hint)


def test_folders_without_text_say_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(GencliError, match="no files at all"):
        gather([tmp_path / "nothing"])
    for number in range(3):
        put(tmp_path / "pictures" / f"{number}.PNG", b"\x89PNG")
    put(tmp_path / "pictures" / "empty.txt", "")
    with pytest.raises(GencliError, match=r"found 4 files: 3 \.png, 1 \.txt"):
        gather([tmp_path / "pictures"])


def test_binary_files_are_left_out_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = library(tmp_path / "library")
    put(folder / "a.dat", bytes(300))
    put(folder / "deep" / "program", b"\x7fELF\2\1\1\0" + bytes(range(256)))
    with caplog.at_level(logging.WARNING, "gencli"):
        assert contents(gather([folder])) == JOINED
    assert "left out 2 files" in caplog.text
    assert "a.dat" in caplog.text and "program" in caplog.text


def test_a_text_of_another_encoding_in_a_folder_is_no_secret(tmp_path: Path) -> None:
    put(tmp_path / "library" / "a.txt", b"fine")
    put(tmp_path / "library" / "b.txt", b"caf\xe9")
    with pytest.raises(GencliError, match=r"b\.txt is not utf-8: byte 0xe9 at offset 3"):
        gather([tmp_path / "library"])


def test_damaged_archives(tmp_path: Path) -> None:
    folder = library(tmp_path / "library")
    put(folder / "long.txt", "".join(f"{n * n}\n" for n in range(20_000)))
    for suffix in (".zip", ".tar.gz"):
        whole = pack(folder, tmp_path / f"whole{suffix}").read_bytes()
        cut = put(tmp_path / f"cut{suffix}", whole[: len(whole) // 2])
        with pytest.raises(GencliError, match=f"cut{suffix}"):
            gather([cut])
    archive = tmp_path / "whole.zip"
    with zipfile.ZipFile(archive) as zipped:
        place = zipped.getinfo("library/long.txt").header_offset
    data = bytearray(archive.read_bytes())
    data[place + 5000] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(GencliError, match=r"long\.txt"):
        gather([archive])


def test_a_full_disk_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(GencliError, match=rf"needs {len(BOOK.encode())} bytes in .* has 10 free"):
        gather([put(tmp_path / "book.txt")])


# ------------------------------------------------------------------ cleaning


def test_line_ends_and_the_mark_of_the_byte_order(tmp_path: Path) -> None:
    file = put(tmp_path / "a.txt", "\ufeffone\r\ntwo\rthree\n\r\n\ufefffour\r")
    assert contents(gather([file])) == "one\ntwo\nthree\n\n\ufefffour\n"


def test_cleaning_by_hand() -> None:
    review = "It's <b>GREAT</b>!<br /><br />A &lt;tag&gt; &amp; 2 < 3 > 1<!-- no -->"
    assert Cleaning(strip_html=True).apply(review) == "It's  GREAT !  A <tag> & 2 < 3 > 1 "
    everything = Cleaning(lowercase=True, strip_html=True, strip_punctuation=True)
    assert everything.apply(review) == "its  great   a tag  2  3  1 "
    assert Cleaning(normalize="nfc").apply("e\u0301ﬁ") == "éﬁ"
    assert Cleaning(normalize="nfkc").apply("e\u0301ﬁ") == "éfi"
    assert Cleaning(lowercase=True).apply("ΟΔΥΣΣΕΥΣ") == "οδυσσευς"


ALL = [
    Cleaning(),
    Cleaning(strip_html=True),
    Cleaning(lowercase=True),
    Cleaning(normalize="nfc"),
    Cleaning(normalize="nfkc", lowercase=True, strip_html=True, strip_punctuation=True),
]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text("ab<>/&;!lt \n\re\u0301\u0327ﬁ각ᄀ\u1161\u11a8Σ", max_size=12)), st.sampled_from(ALL))
def test_pieces_are_cleaned_like_the_whole(pieces: list[str], options: Cleaning) -> None:
    assert "".join(options.stream(pieces)) == options.apply("".join(pieces))


def test_endless_lines_are_cut_where_nothing_is_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaning, "LONGEST_WAIT", 100)
    line = "e\u0301<b\n>x</b>&amp; " * 400
    pieces = [line[start : start + 7] for start in range(0, len(line), 7)]
    options = Cleaning(strip_html=True, normalize="nfc")
    streamed = list(options.stream(pieces))
    assert "".join(streamed) == options.apply(line)
    assert max(map(len, streamed)) < 200
    stray = Cleaning(strip_html=True)
    assert "".join(stray.stream(["a <b"] + ["c" * 50] * 9)) == "a <b" + "c" * 450


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 7))
def test_blocks_are_decoded_like_the_whole(text: str, size: int) -> None:
    for encoding in ("utf-8", "utf-16", "gb18030"):
        data = text.encode(encoding)
        blocks = [data[start : start + size] for start in range(0, len(data), size)]
        assert "".join(decoded(blocks, encoding, "x")) == text.removeprefix("\ufeff")


@settings(deadline=None)
@given(st.text("aé红\U0001f600", max_size=30), st.integers(1, 9), st.sampled_from([b"\xff", b"\xc3(", b"\xe7\xba"]))
def test_the_place_of_a_wrong_byte(text: str, size: int, wrong: bytes) -> None:
    data = text.encode() + wrong
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    with pytest.raises(GencliError, match=f"byte 0x{wrong[0]:02x} at offset {len(text.encode())} "):
        list(decoded(blocks, "utf-8", "x"))


# ------------------------------------------------------------------ the cache


def test_a_second_call_reads_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = library(tmp_path / "library")
    first = gather([folder])
    monkeypatch.setattr(reading, "documents", lambda *_: pytest.fail("read again"))
    again = gather([folder])
    assert (again.path, again.fingerprint) == (first.path, first.fingerprint)
    assert again.documents.tolist() == first.documents.tolist()
    assert len(entries(cache)) == 1


def test_whatever_changes_the_text_reads_again(tmp_path: Path) -> None:
    folder = library(tmp_path / "library")
    prints = [gather([folder]).fingerprint]
    put(folder / "a.txt", "First!")
    prints.append(gather([folder]).fingerprint)
    prints.append(gather([folder], Cleaning(lowercase=True)).fingerprint)
    put(folder / "d.txt", "fourth")
    prints.append(gather([folder]).fingerprint)
    whole = put(tmp_path / "same.txt", contents(gather([folder])))
    prints.append(gather([whole]).fingerprint)  # the same letters, but one document
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("damage", ["text.txt", "text.json", "documents.npy"])
def test_a_damaged_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    file = put(tmp_path / "book.txt")
    text = gather([file])
    (text.path.parent / damage).write_bytes(b"{")
    assert contents(gather([file])) == BOOK


def test_an_interrupted_reading_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    def interrupt(done: float, total: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather([put(tmp_path / "book.txt")], report=interrupt)
    assert entries(cache) == []


def test_two_at_once_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, calls, real = put(tmp_path / "book.txt"), [], reading.documents

    def counted(*arguments: object) -> Iterator[Iterator[str]]:
        calls.append(1)
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "documents", counted)
    threads = [threading.Thread(target=gather, args=([file],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_progress_is_reported_to_the_end(tmp_path: Path) -> None:
    book = "a line of a long book\n" * 200_000
    folder = library(tmp_path / "library")
    put(folder / "book.txt", book)
    packed = put(tmp_path / "book.gz", gzip.compress(book.encode(), mtime=0))
    for source in (folder, packed, pack(folder, tmp_path / "library.zip")):
        seen: list[tuple[float, float | None]] = []
        gather([source], report=lambda done, total: seen.append((done, total)))  # noqa: B023
        assert len(seen) > 3
        assert seen == sorted(seen, key=lambda one: one[0])
        assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("suffix", [".txt", ".txt.gz", ".zip", ".tar.gz"])
def test_memory_does_not_grow_with_the_text(tmp_path: Path, suffix: str) -> None:
    book = put(tmp_path / "books" / "book.txt", "some words of a very long book, again and again\n" * 500_000)
    source = book
    if suffix == ".txt.gz":
        source = put(tmp_path / "book.txt.gz", gzip.compress(book.read_bytes(), 1, mtime=0))
    elif suffix != ".txt":
        source = pack(book.parent, tmp_path / f"books{suffix}")
    tracemalloc.start()
    text = gather([source], Cleaning(lowercase=True))
    characters = sum(map(len, text.whole.chunks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert characters == 24_000_000
    assert peak < 12_000_000


# ------------------------------------------------------------------ parts of a text


def test_the_cut_of_one_document_is_the_conventional_one(tmp_path: Path) -> None:
    text = gather([put(tmp_path / "a.txt", "0123456789" * 111 + "abc")])
    learnt, held_out = split(text, 0.1)
    assert (learnt.start, learnt.stop) == (0, int(0.9 * text.size))
    assert (held_out.start, held_out.stop) == (learnt.stop, text.size)


@settings(deadline=None, max_examples=60)
@given(st.text("aé红\U0001f600\n ", min_size=2, max_size=80), st.floats(0.05, 0.95))
def test_no_character_is_cut(tmp_path_factory: pytest.TempPathFactory, letters: str, held_out: float) -> None:
    text = gather([put(tmp_path_factory.mktemp("text") / "a.txt", letters)])
    try:
        learnt, measured = split(text, held_out)
    except GencliError:
        aim = int((1 - held_out) * text.size)
        assert aim == 0 or text.size - aim < 4
        return
    parts = ["".join(part.chunks(size)) for part in (learnt, measured) for size in (1, 5, 1000)]
    assert parts[0] == parts[1] == parts[2] and parts[3] == parts[4] == parts[5]
    assert parts[0] + parts[3] == letters


def test_documents_are_held_out_whole_where_one_begins_near(tmp_path: Path) -> None:
    for number in range(20):
        put(tmp_path / "poems" / f"{number:02}.txt", f"poem {number:02}\n" * 10)
    poems = gather([tmp_path / "poems"])
    learnt, held_out = split(poems, 0.13)
    assert held_out.start in poems.documents
    assert (len(learnt.documents), len(held_out.documents)) == (17, 3)
    assert held_out.documents.tolist() == poems.documents[17:].tolist()
    put(tmp_path / "two" / "long.txt", "a long one\n" * 1000)
    put(tmp_path / "two" / "short.txt", "end")
    two = gather([tmp_path / "two"])
    learnt, held_out = split(two, 0.2)
    assert learnt.stop == int(0.8 * two.size)
    assert held_out.documents.tolist() == [learnt.stop, two.documents[1]]


def test_pieces_end_at_lines_else_blanks_else_characters(tmp_path: Path) -> None:
    lines = gather([put(tmp_path / "lines.txt", "".join(f"line {n}\n" for n in range(500)))])
    pieces = list(lines.whole.chunks(100))
    assert all(piece.endswith("\n") for piece in pieces)
    assert all(len(piece) <= 100 for piece in pieces) and len(pieces) < 100
    words = gather([put(tmp_path / "words.txt", " ".join(f"wörd{n}" for n in range(500)))])
    pieces = list(words.whole.chunks(100))
    assert all(piece.startswith(" ") for piece in pieces[1:])
    solid = gather([put(tmp_path / "solid.txt", "红" * 1000)])
    pieces = list(solid.whole.chunks(100))
    assert {len(piece) for piece in pieces[:-1]} == {34}
    assert "".join(Span(solid, 300, 600).chunks(50)) == "红" * 100


def test_normal_forms_of_a_whole_text(tmp_path: Path) -> None:
    text = unicodedata.normalize("NFD", "Zoë découpe à l'échelle\n") * 50
    made = gather([put(tmp_path / "a.txt", text)], Cleaning(normalize="nfc"))
    assert contents(made) == unicodedata.normalize("NFC", text)
