"""The command line as a whole: help, wrong usage, exit codes, streams."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import pytest
import typer

import gencli
from gencli import app as module
from gencli.app import run
from gencli.core.commands import App, ArtGroup
from gencli.core.console import Console
from gencli.core.errors import GencliError, Interrupted, MissingError
from gencli.core.options import Common, command

Captured = pytest.CaptureFixture[str]
RunGencli = Callable[..., "subprocess.CompletedProcess[str]"]
HELP = ["--help", "stylize --help", "stylize sample --help", "dream train --help", "models --help", "data -h"]
HEAVY = ["torch", "torchvision", "numpy", "PIL", "rich", "safetensors", "pydantic", "urllib.request"]


def modules(gencli_environment: Callable[[], dict[str, str]], *commands: str) -> set[str]:
    """The modules one process has imported after these commands."""
    code = "import sys, typer; typers_own = set(sys.modules); from gencli.app import run\n"
    code += "".join(f"assert run({line.split()!r}) == 0\n" for line in commands)
    code += "print('\\n=', *set(sys.modules) - typers_own)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=gencli_environment(), capture_output=True, text=True, check=True
    )
    return set(done.stdout.rsplit("\n= ", 1)[1].split())


def test_help_imports_nothing_heavy(gencli_environment: Callable[[], dict[str, str]]) -> None:
    assert modules(gencli_environment, *HELP, "--version").isdisjoint(HEAVY)


def test_looking_into_the_store_imports_no_torch(gencli_environment: Callable[[], dict[str, str]]) -> None:
    imported = modules(gencli_environment, "models list", "models show vgg19", "data list")
    assert imported.isdisjoint({"torch", "torchvision"})


@pytest.mark.skipif(sys.platform == "win32", reason="counts the processor time of processes as Unix does")
def test_help_answers_at_once(run_gencli: RunGencli) -> None:
    """0.3 s on a machine at rest; here a little more, as the least processor time of a few runs."""
    import resource

    def seconds() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    for line in ("--help", "stylize --help"):
        taken = []
        for _ in range(3):
            began = seconds()
            assert run_gencli(*line.split()).returncode == 0
            taken.append(seconds() - began)
        assert min(taken) < 0.45, line


# ------------------------------------------------------------------ help and wrong usage


@pytest.mark.parametrize("line", [*HELP, "models show -h", "info -h"])
def test_help_goes_to_standard_output(capsys: Captured, line: str) -> None:
    assert run(line.split()) == 0
    out, err = capsys.readouterr()
    words = [word for word in line.split() if not word.startswith("-")]
    assert out.startswith(" ".join(["Usage: gencli", *words])) and err == ""
    assert not {"╭", "│", "<int>", "<bool>", "(0"} & set(out) and "\x1b" not in out


@pytest.mark.parametrize("line", ["", "models", "data", "stylize", "dream"])
def test_without_arguments_there_is_help_and_a_failure(capsys: Captured, line: str) -> None:
    assert run(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(" ".join(["Usage: gencli", *line.split()]))


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("bogus", "no such command 'bogus'", "`gencli --help`"),
        ("models shwo", "no such command 'shwo'", "`gencli models --help`"),
        ("stylize smaple", "did you mean sample", "`gencli stylize --help`"),
        ("models show", "missing argument 'MODEL'", "`gencli models show --help`"),
        ("dream train --data x", "missing option '--name'", "`gencli dream train --help`"),
        ("models list --bogus", "no such option: --bogus", "`gencli models list --help`"),
        ("models list a", "unexpected extra argument", "`gencli models list --help`"),
        ("models list --seed x", "--seed x", ""),
        ("models list --precision fp8", "--precision fp8: not one of auto, fp32, bf16, fp16", ""),
        ("models show nothing", "nothing", ""),
    ],
)
def test_wrong_usage_is_an_error_and_a_hint(capsys: Captured, line: str, error: str, hint: str) -> None:
    assert run(line.split()) in {1, 2}
    out, err = capsys.readouterr()
    first, *others = err.splitlines()
    assert out == "" and first.startswith("error: ") and error.lower() in first.lower()
    assert all(line.startswith("hint: ") for line in others) and hint in "".join(others)


def test_wrong_usage_exits_with_2(capsys: Captured) -> None:
    for line in ("bogus", "models show", "models list --bogus", "models list --seed -1", "models pull vgg20"):
        assert run(line.split()) == 2, line


def test_version(capsys: Captured) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"gencli {gencli.__version__}\n"


def test_a_device_that_is_not_there(capsys: Captured, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    line = ["dream", "train", "--name", "x", "--data", str(tmp_path), "--device", "cuda"]
    assert run(line) == 2
    assert capsys.readouterr().err.startswith("error: --device cuda: not on this machine, which has cpu (1 thread)\n")
    assert not (tmp_path / "home" / "models").exists()


# ------------------------------------------------------------------ the default action


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """An art of its own in the place of the whole command line; what its actions were called with."""
    seen: list[object] = []
    paint = App("Paints.", ArtGroup)

    @paint.command()
    @command
    def sample(common: Common, pictures: Annotated[list[str] | None, typer.Argument(metavar="PICTURE")] = None) -> None:
        """Make one."""
        seen.append(("sample", pictures or [], common.seed))

    @paint.command()
    @command
    def train(common: Common) -> None:
        """Learn."""
        seen.append(("train", common.seed))

    def build(only: str | None = None) -> typer.Typer:
        app = App("All.")
        app.add_typer(paint, name="paint")
        app.command("other")(lambda: None)
        return app

    monkeypatch.setattr(module, "build", build)
    return seen


@pytest.mark.parametrize(
    ("line", "called"),
    [
        ("paint a.jpg", ("sample", ["a.jpg"], None)),
        ("paint sample a.jpg", ("sample", ["a.jpg"], None)),
        ("paint --seed 3", ("sample", [], 3)),
        ("paint - @b --seed 3", ("sample", ["-", "@b"], 3)),
        ("paint -- train", ("sample", ["train"], None)),
        ("paint train --seed 4", ("train", 4)),
    ],
)
def test_sample_is_the_action_where_none_is_named(painter: list[object], line: str, called: object) -> None:
    assert run(line.split()) == 0
    assert painter == [called]


def test_a_misspelt_action_is_no_picture_unless_it_is_a_file(
    painter: list[object], capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["paint", "trian"]) == 2
    assert "did you mean train?" in capsys.readouterr().err
    (tmp_path / "trian").touch()
    assert run(["paint", "trian"]) == 0
    assert painter == [("sample", ["trian"], None)]


def test_help_of_an_art_names_its_default_action(painter: list[object], capsys: Captured) -> None:
    assert run(["paint", "--help"]) == 0
    out = capsys.readouterr().out
    assert "Usage: gencli paint [ACTION]" in out and "`gencli paint sample --help`" in out
    assert run(["paint", "sample", "-h"]) == 0
    assert "Usage: gencli paint sample PICTURE [OPTIONS]" in capsys.readouterr().out


# ------------------------------------------------------------------ errors and exit codes


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `gencli fail` raise this."""

    def build(only: str | None = None) -> typer.Typer:
        app = App("All.")

        @app.command("fail")
        @command
        def fail(common: Common) -> None:
            raise error

        @app.command("other")
        def other() -> None:
            pass

        return app

    monkeypatch.setattr(module, "build", build)


class OutOfMemoryError(RuntimeError):
    """As PyTorch calls it."""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (GencliError("it broke", "mend it"), 1, "error: it broke\nhint: mend it\n"),
        (
            MissingError("not here", "fetch it\n  from there"),
            3,
            "error: not here\nhint: fetch it\n  from there\n",
        ),
        (Interrupted("stopped"), 130, "error: stopped\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (typer.Abort(), 130, "error: interrupted\n"),
        (typer.Exit(4), 4, ""),
        (FileNotFoundError(2, "No such file", "a.jpg"), 1, "error: a.jpg: No such file\n"),
        (MemoryError(), 1, "error: there is not enough memory\n"),
        (OutOfMemoryError("CUDA"), 1, "error: there is not enough memory\n"),
        (ZeroDivisionError("oops"), 1, "error: ZeroDivisionError: oops\nhint: this is a fault of gencli"),
    ],
)
def test_every_error_ends_in_words_and_its_exit_code(
    error: BaseException, code: int, said: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(error, monkeypatch)
    assert run(["fail"]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and "Traceback" not in err


def test_debug_shows_the_traceback_and_keeps_the_exit_code(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(MissingError("not here", "fetch it"), monkeypatch)
    assert run(["fail", "--debug"]) == 3
    err = capsys.readouterr().err
    assert "Traceback" in err and err.endswith("error: not here\nhint: fetch it\n")


# ------------------------------------------------------------------ streams of a real process


def test_json_is_all_there_is_on_standard_output(run_gencli: RunGencli) -> None:
    done = run_gencli("models", "list", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and "vgg19" in [record["name"] for record in records]
    assert done.stderr == ""


def test_a_closed_pipe_ends_quietly(gencli_environment: Callable[[], dict[str, str]]) -> None:
    for line in ("models list", "--help"):
        process = subprocess.Popen(
            [sys.executable, "-m", "gencli", *line.split()],
            env=gencli_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
        process.stderr.close()
        assert (process.wait(), error) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a Unix shell")
@pytest.mark.parametrize(("redirect", "code"), [(">&-", 0), (">&- 2>&-", 0), ("2>&-", 0)])
def test_streams_may_be_closed(gencli_environment: Callable[[], dict[str, str]], redirect: str, code: int) -> None:
    line = f"'{sys.executable}' -m gencli models list {redirect}"
    done = subprocess.run(["sh", "-c", line], env=gencli_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_file_names_of_any_bytes_can_be_printed(gencli_environment: Callable[[], dict[str, str]]) -> None:
    code = "from gencli import app; from gencli.core.console import Console\n"
    code += "app._invoke = lambda arguments: Console().result('a\\udcff') or 0\napp.run([])"
    for encoding, printed in (("utf-8", b"a\xff\n"), ("ascii", b"a\\udcff\n")):
        env = {**gencli_environment(), "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
        assert done.stdout == printed


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_an_interrupted_process_exits_with_130(gencli_environment: Callable[[], dict[str, str]]) -> None:
    code = (
        "import sys, time; from gencli import app, __main__\n"
        "def wait(arguments):\n print('working', flush=True); time.sleep(60)\n"
        "app._invoke = wait\n__main__.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=gencli_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "error: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
def test_an_interruption_while_starting_is_quiet(gencli_environment: Callable[[], dict[str, str]]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-v", "-m", "gencli", "--help"],
        env=gencli_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("import 'typer"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 130 and "Traceback" not in rest


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def help_text() -> str:
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        assert run(["models", "--help"]) == 0
        return screen.getvalue()

    assert "\x1b[1m" in help_text()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in help_text()


def test_notes_are_said_unless_quiet(run_gencli: RunGencli, tmp_path: Path) -> None:
    folder = tmp_path / "home" / "models" / "dream" / "mine"
    for flags, said in (((), "removed dream/mine\n"), (("-q",), "")):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        done = run_gencli("models", "remove", "mine", "--yes", *flags)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", said)
        assert not folder.exists()


def test_the_environment_is_heeded(run_gencli: RunGencli, tmp_path: Path) -> None:
    env: Mapping[str, str] = {"GENCLI_HOME": str(tmp_path / "else where")}
    done = run_gencli("models", "pull", "vgg19", env=env)
    assert done.returncode == 3 and str(tmp_path / "else where" / "weights") in done.stderr
    began = time.monotonic()
    done = run_gencli("models", "pull", "vgg19", "--offline", env={"GENCLI_OFFLINE": "0"})
    assert done.returncode == 3 and "are not here" in done.stderr and time.monotonic() - began < 20


def test_offline_holds_for_the_libraries_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENCLI_OFFLINE", "")
    Console.start(Common.build({"offline": True}))
    assert os.environ["GENCLI_OFFLINE"] == "1"
