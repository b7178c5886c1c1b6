"""What people see: notes, warnings and bars on standard error, results on standard output.

On a terminal Rich draws; elsewhere plain lines appear, at most one every few seconds.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from gencli.core.errors import GencliError

if TYPE_CHECKING:
    from PIL import Image
    from rich.console import Console as RichConsole
    from rich.table import Table
    from rich.text import Text

    from gencli.core.options import Common, Training
    from gencli.core.recipe import Progress, Result
    from gencli.core.stages import Report, Stage

PLAIN_SECONDS = 5.0  # between plain lines off a terminal
PREVIEW_SECONDS = 0.5  # between pictures drawn in the terminal


class Console:
    """One command's voice."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, as_json: bool = False, preview: bool = True):
        self.quiet, self.as_json = quiet, as_json
        self.preview = preview
        self._rich: RichConsole | None = None
        self._install_log(verbose)

    @classmethod
    def start(cls, common: Common) -> Console:
        """The console a command's flags ask for. `--offline` holds from here on, for the libraries too."""
        if common.offline:
            os.environ["GENCLI_OFFLINE"] = "1"
        return cls(quiet=common.quiet, verbose=common.verbose, as_json=common.json, preview=common.preview)

    @property
    def rich(self) -> RichConsole:
        """Rich on standard error; imported when first needed."""
        if self._rich is None:
            from rich.console import Console as RichConsole

            self._rich = RichConsole(stderr=True, highlight=False)
        return self._rich

    def _install_log(self, verbose: bool) -> None:
        log = logging.getLogger("gencli")
        log.handlers = [_Handler(self)]
        log.propagate = False
        log.setLevel(logging.ERROR if self.quiet else logging.DEBUG if verbose else logging.INFO)

    # ---------------------------------------------------------------- standard output

    def result(self, text: str) -> None:
        """A result on standard output, a line of its own."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def record(self, values: Mapping[str, Any]) -> None:
        """A result as one JSON line on standard output."""
        self.result(json.dumps(values, ensure_ascii=False))

    def made(self, output: str | None, how: Mapping[str, Any]) -> None:
        """Where a result lies: its path, or a record of that and `how` it was made. None: on standard output itself."""
        if output is None:
            return
        if self.as_json:
            self.record({"output": output, **how})
        else:
            self.result(output)

    def figures(self, model: str, figures: Mapping[str, float | None], **how: int) -> None:
        """What a model was measured to be: a table, or a record of that and `how`."""
        if self.as_json:
            self.record({"model": model, **how, **figures})
            return
        rows = [(name, "unknown" if value is None else f"{value:.6g}") for name, value in figures.items()]
        self.table(model, ("figure", "value"), rows)

    def write(self, text: str) -> None:
        """A piece of a result on standard output, as soon as there is one."""
        sys.stdout.write(text)
        sys.stdout.flush()

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows on standard output: a drawn table on a terminal, tab-separated lines in a pipe."""
        if not sys.stdout.isatty():
            for row in rows:
                self.result("\t".join(row))
            return
        from rich.console import Console as RichConsole

        RichConsole(highlight=False).print(_table(title, columns, rows))

    def texts(self, title: str, label: str, texts: Mapping[str, str]) -> None:
        """Texts by their labels on standard output: a table on a terminal, blocks under headings in a pipe."""
        if sys.stdout.isatty():
            self.table(title, (label, "text"), [*texts.items()])
        else:
            self.result(blocks(label, texts))

    # ---------------------------------------------------------------- standard error

    def note(self, text: str) -> None:
        if not self.quiet:
            self._say("", text, "")

    def show_texts(self, title: str, label: str, texts: Mapping[str, str]) -> None:
        """Texts by their labels on standard error: a table on a terminal, elsewhere a line each."""
        if self.quiet:
            return
        if self.rich.is_terminal:
            self.rich.print(_table(title, (label, "text"), [*texts.items()]))
            return
        self.note(title)
        for name, text in texts.items():
            self.note(f"  {label} {name}: {json.dumps(text, ensure_ascii=False)}")

    def seed(self, common: Common) -> int:
        """The seed of a command: the one that was asked for, or a new one, which is said."""
        from gencli.core.device import new_seed

        if common.seed is not None:
            return common.seed
        seed = new_seed()
        self.note(f"seed {seed}")
        return seed

    def ask(self, question: str) -> str | None:
        """Put a question on standard error; the line that comes from standard input, None at its end."""
        self._say("", question, "")
        line = sys.stdin.readline()
        return line.removesuffix("\n") if line else None

    def warn(self, text: str) -> None:
        if not self.quiet:
            self._say("warning: ", text, "yellow")

    def _say(self, label: str, text: str, style: str) -> None:
        from rich.text import Text

        self.rich.print(Text.assemble((label, style), text), soft_wrap=True)

    @contextmanager
    def bar(self, what: str, *, units: str = "steps") -> Iterator[Bar]:
        """A bar for long work: on a terminal with time left and rate, elsewhere lines now and then."""
        if self.quiet:
            yield Bar()
        elif self.rich.is_terminal:
            with _drawn_bar(self.rich, what, units, self.preview) as bar:
                yield bar
        else:
            yield _PlainBar(self, what, units)

    def stages(self, units: str) -> Stage:
        """A bar for each stage of the work."""

        @contextmanager
        def stage(what: str) -> Iterator[Report]:
            with self.bar(what, units=units) as bar:
                yield bar.update

        return stage

    def train(
        self,
        art: str,
        train: Callable[..., Result],
        name: str,
        options: Training,
        common: Common,
        figures: Sequence[str],
        measured: Callable[[Progress], None] | None = None,
        *,
        units: str = "pictures",
        resume: bool = False,
        base: str | None = None,
        **given: Any,
    ) -> None:
        """Carry out the training of an art, watched by a bar, and say where the model is.

        `train` is called with what all trainings take and with what is `given` beside, which a resume is told again;
        a resumed run knows its `base`. `figures` of each log line stand beside the bar (`tokens/s`: its `tokens` times
        its steps a second), `measured` is called whenever there are some on held-out data. `units` are those of
        reading.
        """
        from gencli.core import runs

        runtime = common.start(mixed=options.mixed)
        with self._watching(name, figures, measured) as report:
            result = train(
                name=name,
                options=options,
                seed=common.seed,
                resume=resume,
                runtime=runtime,
                stage=self.stages(units),
                report=report,
                resume_command=runs.resume_command(art, name, **given),
                **given,
                **({"base": base} if base else {}),
            )
        self.note(f"{result.steps} steps in {clock(result.seconds)}")
        if not self.as_json:
            self.result(str(result.folder))

    @contextmanager
    def _watching(
        self,
        name: str,
        figures: Sequence[str],
        measured: Callable[[Progress], None] | None = None,
    ) -> Iterator[Callable[[Progress], None]]:
        """What a training reports to: a bar with the `figures` of each log line, JSON lines where they are wanted,
        and `measured` whenever there are figures on held-out data. The bar appears with the first report: until then
        there may be others, and Rich shows one at a time."""
        with ExitStack() as stack:
            bars: list[Bar] = []

            def report(progress: Progress) -> None:
                if not bars:
                    bars.append(stack.enter_context(self.bar(f"training {name}")))
                line = progress.line or {}
                # in so many steps, or the clock ends it
                steps = progress.step / progress.fraction if progress.fraction else progress.steps
                bars[0].update(progress.step, steps, _named(line, figures))
                if line and self.as_json:
                    self.record(line)
                if measured and "evaluation" in line:
                    measured(progress)

            yield report


def _named(line: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    """What a log line has of these figures."""
    found = {}
    for name in names:
        counted = name.removesuffix("/s")
        if counted in line:
            found[name] = line[counted] * (1 if counted == name else line["rate"])
    return found


def blocks(label: str, texts: Mapping[str, str]) -> str:
    """Texts one after the other, each under a heading."""
    return "\n\n".join(f"== {label} {name} ==\n{text}" for name, text in texts.items())


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    drawn = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


class Bar:
    """Progress of one piece of work. This one shows nothing."""

    def update(self, done: float, total: float | None, figures: Mapping[str, float] | None = None) -> None:
        """So much of `total` is done; `figures` (a loss, an accuracy) stand beside it."""

    def show(self, draw: Callable[[], Image.Image]) -> None:
        """Draw a picture above the bar, where that is wanted. `draw` is only called if it is."""


class _Pace:
    """How fast the work goes: what was done before it came here (a resumed run) does not count."""

    def __init__(self, units: str) -> None:
        self.units = units
        self.began, self.first = time.monotonic(), -1.0

    def rate(self, done: float) -> float:
        """Units a second since the first report; 0 while that is not known."""
        if self.first < 0:
            self.began, self.first = time.monotonic(), done
        return (done - self.first) / max(time.monotonic() - self.began, 1e-3)

    def share(self, done: float, total: float | None) -> str:
        """`3,200/10,000 steps`."""
        if self.units == "bytes":
            return f"{size(done)} of {size(total)}" if total else size(done)
        if self.units == "%":
            return f"{done:.0f} %"
        return f"{done:,.0f}/{total:,.0f} {self.units}" if total else f"{done:,.0f} {self.units}"

    def speed(self, done: float) -> str:
        """`, 12.5 steps/s`; nothing for shares of a whole, and while it is not known."""
        rate = self.rate(done)
        if not rate or self.units == "%":
            return ""
        if self.units == "bytes":
            return f", {size(rate)}/s"
        return f", {rate:,.0f} {self.units}/s" if rate >= 100 else f", {rate:.3g} {self.units}/s"


class _PlainBar(Bar):
    def __init__(self, console: Console, what: str, units: str) -> None:
        self.console, self.what, self.pace = console, what, _Pace(units)
        self.said = time.monotonic()

    def update(self, done: float, total: float | None, figures: Mapping[str, float] | None = None) -> None:
        rate, now = self.pace.rate(done), time.monotonic()
        if now - self.said < PLAIN_SECONDS:
            return
        self.said = now
        left = f", {clock((total - done) / rate)} left" if total and rate else ""
        share, speed = self.pace.share(done, total), self.pace.speed(done)
        self.console.note(f"{self.what}: {share}{left}{speed}{_figures(figures)}")


@contextmanager
def _drawn_bar(rich: RichConsole, what: str, units: str, preview: bool) -> Iterator[Bar]:
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    ]
    progress = Progress(*columns, console=rich)
    task = progress.add_task(what, total=None, count="", figures="")
    with Live(progress, console=rich, refresh_per_second=8, transient=True) as live:

        class Drawn(Bar):
            pace = _Pace(units)
            drawn = 0.0

            def update(self, done: float, total: float | None, figures: Mapping[str, float] | None = None) -> None:
                shown = (self.pace.speed(done) + _figures(figures)).removeprefix(", ")
                progress.update(task, completed=done, total=total, count=self.pace.share(done, total), figures=shown)

            def show(self, draw: Callable[[], Image.Image]) -> None:
                now = time.monotonic()
                if preview and not rich.no_color and now - self.drawn >= PREVIEW_SECONDS:
                    self.drawn = now
                    live.update(Group(half_blocks(draw(), min(64, rich.width - 2)), progress))

        yield Drawn()


def half_blocks(picture: Image.Image, columns: int) -> Text:
    """A picture as text, two pixels a character cell: the upper in the colour of ▀, the lower behind it."""
    from rich.style import Style
    from rich.text import Text

    rows = max(1, round(columns * picture.height / picture.width / 2))
    small = picture.convert("RGB").resize((columns, 2 * rows))
    pixels = small.load()
    assert pixels is not None
    text = Text(no_wrap=True)
    for y in range(0, 2 * rows, 2):
        for x in range(columns):
            upper, lower = ("#{:02x}{:02x}{:02x}".format(*pixels[x, y + down]) for down in (0, 1))  # type: ignore[misc]
            text.append("▀", Style(color=upper, bgcolor=lower))
        text.append("\n")
    return text


def clock(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole // 60 % 60:02} min"


def size(count: float) -> str:
    """Bytes as people say them: 3.7 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def print_error(error: GencliError) -> None:
    """`error: what is wrong` and `hint: what to do`, on standard error."""
    from rich.console import Console as RichConsole
    from rich.text import Text

    rich = RichConsole(stderr=True, highlight=False)
    rich.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if error.hint:
        rich.print(Text.assemble(("hint: ", "cyan"), error.hint), soft_wrap=True)


def _figures(figures: Mapping[str, float] | None) -> str:
    return "".join(f", {name} {value:.4g}" for name, value in (figures or {}).items())


class _Handler(logging.Handler):
    """What library code logs, said by the console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        say = self.console.warn if record.levelno >= logging.WARNING else self.console.note
        say(record.getMessage())
