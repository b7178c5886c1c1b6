"""The console: results on standard output alone, notes and progress on standard error."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator

import pytest
from PIL import Image
from rich.console import Console as RichConsole

from gencli.core.console import Console, clock, half_blocks, print_error, size
from gencli.core.errors import GencliError
from gencli.core.options import Common

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    log = logging.getLogger("gencli")
    before = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate = before[0], before[1]
    log.setLevel(before[2])


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time: a list of one number that a test sets."""
    seconds = [100.0]
    monkeypatch.setattr("gencli.core.console.time.monotonic", lambda: seconds[0])
    return seconds


def test_results_go_to_standard_output_and_all_else_to_standard_error(capsys: Captured) -> None:
    console = Console()
    console.result("a.png")
    console.record({"output": "é.png", "seed": 3})
    console.note("seed 3")
    console.warn("grey")
    logging.getLogger("gencli").info("from a library")
    logging.getLogger("gencli").warning("be careful")
    out, err = capsys.readouterr()
    assert out.splitlines() == ["a.png", '{"output": "é.png", "seed": 3}']
    assert err.splitlines() == ["seed 3", "warning: grey", "from a library", "warning: be careful"]


def test_quiet_says_nothing_but_results_and_errors(capsys: Captured, now: list[float]) -> None:
    console = Console(quiet=True)
    console.note("a")
    console.warn("b")
    logging.getLogger("gencli").warning("c")
    with console.bar("work") as bar:
        now[0] += 60
        bar.update(1, 2)
        bar.show(lambda: pytest.fail("nobody looks"))
    console.result("r")
    print_error(GencliError("it broke", "mend it"))
    assert capsys.readouterr() == ("r\n", "error: it broke\nhint: mend it\n")


def test_verbose_lets_libraries_say_more(capsys: Captured) -> None:
    for verbose, said in ((False, ""), (True, "detail\n")):
        Console(verbose=verbose)
        logging.getLogger("gencli").debug("detail")
        assert capsys.readouterr().err == said


def test_long_lines_and_brackets_stay_as_they_are(capsys: Captured) -> None:
    text = "[bold]" + "word " * 60 + "/a/[b].png :smile:"
    Console().note(text)
    print_error(GencliError(text))
    assert capsys.readouterr().err == f"{text}\nerror: {text}\n"


def test_off_a_terminal_there_is_a_line_now_and_then(capsys: Captured, now: list[float]) -> None:
    with Console().bar("training mine") as bar:
        for step in range(1, 161):
            now[0] += 0.125  # 20 s in all
            bar.update(step, 1000, {"loss": 0.5})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0] == "training mine: 40/1,000 steps, 2 min 00 s left, 8 steps/s, loss 0.5"
    assert not any("\x1b" in line for line in lines)


def test_what_was_done_before_a_resume_does_not_count_as_speed(capsys: Captured, now: list[float]) -> None:
    with Console().bar("training mine") as bar:
        bar.update(5000, 10000)
        now[0] += 10
        bar.update(5020, 10000)
    assert capsys.readouterr().err == "training mine: 5,020/10,000 steps, 41 min 30 s left, 2 steps/s\n"


@pytest.mark.parametrize(
    ("units", "done", "total", "said"),
    [
        ("bytes", 52e6, 104e6, "52.0 MB of 104.0 MB, 10 s left, 5.2 MB/s"),
        ("bytes", 52e6, None, "52.0 MB, 5.2 MB/s"),
        ("%", 50, 100, "50 %, 10 s left"),
        ("pictures", 1_000_000, 2_000_000, "1,000,000/2,000,000 pictures, 10 s left, 100,000 pictures/s"),
    ],
)
def test_units(capsys: Captured, now: list[float], *, units: str, done: float, total: float | None, said: str) -> None:
    with Console().bar("w", units=units) as bar:
        bar.update(0, total)
        now[0] += 10
        bar.update(done, total)
    assert capsys.readouterr().err == f"w: {said}\n"


def terminal(console: Console, no_color: bool = False) -> io.StringIO:
    """Give the console a terminal to draw on."""
    screen = io.StringIO()
    console._rich = RichConsole(file=screen, force_terminal=True, width=80, color_system="truecolor", no_color=no_color)
    return screen


def test_on_a_terminal_there_is_a_bar_with_pictures(capsys: Captured, now: list[float]) -> None:
    console = Console()
    screen = terminal(console)
    with console.bar("training mine") as bar:
        bar.update(0, 100)
        now[0] += 10
        bar.update(50, 100, {"loss": 0.25})
        bar.show(lambda: Image.new("RGB", (8, 8), "red"))
        bar.show(lambda: pytest.fail("too soon for another"))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "training mine" in text and "50/100 steps" in text and "5 steps/s, loss 0.25" in text and "▀" in text
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("preview", "no_color"), [(False, False), (True, True)])
def test_previews_can_be_left_out_and_need_colour(now: list[float], preview: bool, no_color: bool) -> None:
    console = Console(preview=preview)
    terminal(console, no_color=no_color)
    with console.bar("w") as bar:
        bar.show(lambda: pytest.fail("nobody looks"))


def test_half_blocks_hold_two_pixels_a_character() -> None:
    picture = Image.new("RGB", (4, 4))
    picture.putpixel((0, 0), (255, 0, 0))
    picture.putpixel((0, 1), (0, 0, 255))
    text = half_blocks(picture, 4)
    assert text.plain == ("▀" * 4 + "\n") * 2
    style = text.spans[0].style
    assert str(style) == "#ff0000 on #0000ff"
    assert half_blocks(Image.new("RGBA", (400, 2)), 10).plain == "▀" * 10 + "\n"


def test_a_table_in_a_pipe_is_lines_with_tabs(capsys: Captured) -> None:
    Console().table("models", ("name", "size"), [("a", "1 MB"), ("b", "2 MB")])
    assert capsys.readouterr().out == "a\t1 MB\nb\t2 MB\n"


def test_a_table_on_a_terminal_has_a_heading(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    Console().table("models", ("name", "size"), [("[a]", "1 MB")])
    out = capsys.readouterr().out
    assert "name" in out and "[a]" in out and "\t" not in out


def test_texts_are_blocks_in_a_pipe_and_a_table_on_a_terminal(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"0.5": "one\ntwo", "1": "[bold]three"}
    Console().texts("model", "temperature", texts)
    assert capsys.readouterr().out == "== temperature 0.5 ==\none\ntwo\n\n== temperature 1 ==\n[bold]three\n"
    Console().show_texts("step 5", "temperature", texts)
    assert capsys.readouterr().err.splitlines() == [
        "step 5",
        '  temperature 0.5: "one\\ntwo"',
        '  temperature 1: "[bold]three"',
    ]
    Console(quiet=True).show_texts("step 5", "temperature", texts)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Console().texts("model", "temperature", texts)
    drawn = capsys.readouterr().out
    assert "model" in drawn and "[bold]three" in drawn and "==" not in drawn


def test_a_question_is_put_and_answered(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n\n"))
    console = Console(quiet=True)  # a question is no note
    assert [console.ask("really?") for _ in range(3)] == ["yes", "", None]
    assert capsys.readouterr().err == "really?\n" * 3


def test_start_follows_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCLI_OFFLINE", "0")
    from gencli.core.files import offline

    console = Console.start(Common(quiet=True, json=True, preview=False))
    assert (console.quiet, console.as_json, console.preview, offline()) == (True, True, False, False)
    Console.start(Common(offline=True))
    assert offline()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_clock(seconds: float, said: str) -> None:
    assert clock(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (999, "999 bytes"), (3.7e6, "3.7 MB"), (5.75e11, "575.0 GB")]
)
def test_size(count: float, said: str) -> None:
    assert size(count) == said
