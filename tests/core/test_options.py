"""Options: what they accept, where their values come from, and the flags they make."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gencli.core.commands import App
from gencli.core.errors import UsageError
from gencli.core.options import Common, Flag, Options, command, described, spelling, weighted


@dataclass(frozen=True)
class Painting(Options):
    """Every kind of option there is."""

    size: Annotated[int, Flag("Pixels.", 16, 4096, short="-s")] = 512
    rate: Annotated[float, Flag("Rate.", minimum=0)] = 0.2
    steps: Annotated[int | None, Flag("Steps.", minimum=1, shown_default="as many as it takes")] = None
    style_loss: Annotated[str, Flag("Loss.", choices=("gram", "w2"))] = "gram"
    keep: Annotated[str | None, Flag("Colours.", choices=("luminance", "histogram"))] = None
    widths: Annotated[tuple[int, ...], Flag("Widths.", minimum=1)] = (8, 16)
    shares: Annotated[tuple[float, ...], Flag("Shares.", 0, 1)] = ()
    layer: Annotated[dict[str, float], Flag("Layers.", minimum=0)] = field(
        default_factory=lambda: {"conv1": 1.0, "conv2": 0.5}
    )
    words: Annotated[tuple[str, ...], Flag("Words.")] = ()
    flip: Annotated[bool, Flag("Flip.")] = True
    tile: Annotated[bool, Flag("Tile.")] = False
    hidden: int = 7  # no flag

    presets: ClassVar[dict[str, dict[str, Any]]] = {"old": {"size": 400, "style_loss": "w2"}}


NUMBERS = st.integers() | st.floats()


@given(NUMBERS)
def test_a_number_is_accepted_exactly_within_its_bounds(value: float) -> None:
    if type(value) is int and 16 <= value <= 4096:
        assert Painting(size=value).size == value
    else:
        with pytest.raises(UsageError, match="--size"):
            Painting.from_dict({"size": value})


@given(NUMBERS)
def test_a_rate_is_finite_and_not_below_its_minimum(value: float) -> None:
    if math.isfinite(value) and value >= 0:
        assert Painting(rate=value).rate == value
    else:
        with pytest.raises(UsageError, match="--rate"):
            Painting(rate=value)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"size": "512"}, "--size '512'"),
        ({"size": True}, "--size True"),
        ({"flip": 1}, "--flip 1"),
        ({"style_loss": "gramm"}, "--style-loss gramm: not one of gram, w2"),
        ({"style_loss": None}, "--style-loss"),
        ({"keep": "all"}, "--keep all: not one of luminance, histogram"),
        ({"widths": 3}, "--widths 3"),
        ({"widths": (8, 0)}, "--widths 0: must be at least 1"),
        ({"widths": (8, 1.5)}, "--widths 1.5: expected a whole number"),
        ({"shares": (0.5, 1.1)}, "--shares 1.1: must be from 0 to 1"),
        ({"shares": (math.nan,)}, "--shares nan"),
        ({"layer": {"conv1": -1.0}}, "--layer -1.0: must be at least 0"),
        ({"layer": {"conv1": math.inf}}, "--layer inf"),
        ({"layer": ("conv1",)}, "--layer"),
    ],
)
def test_errors_name_the_flag_the_value_and_what_was_expected(values: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError) as error:
        Painting(**values)
    assert named in error.value.message


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Painting().size = 3  # type: ignore[misc]


def test_what_was_given_beats_the_preset_which_beats_the_defaults() -> None:
    options = Painting.build({"size": 64, "rate": 0.1}, "old")
    assert (options.size, options.style_loss, options.rate, options.flip) == (64, "w2", 0.1, True)
    assert options.named() == {"size": 64, "rate": 0.1}  # the preset's values were not named
    assert Painting.build({}).named() == {}


def test_an_unknown_preset_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="--preset new") as error:
        Painting.build({}, "new")
    assert error.value.hint is not None and "old" in error.value.hint


PAINTINGS = st.builds(
    Painting,
    size=st.integers(16, 4096),
    rate=st.floats(0, 1e6),
    steps=st.none() | st.integers(1),
    style_loss=st.sampled_from(["gram", "w2"]),
    keep=st.none() | st.just("luminance"),
    widths=st.lists(st.integers(1)).map(tuple),
    shares=st.lists(st.floats(0, 1)).map(tuple),
    layer=st.dictionaries(st.text(), st.floats(0, 1e9)),
    words=st.lists(st.text()).map(tuple),
    flip=st.booleans(),
    tile=st.booleans(),
    hidden=st.integers(),
)


@given(PAINTINGS)
def test_options_survive_json(options: Painting) -> None:
    stored = json.loads(json.dumps(options.to_dict()))
    assert Painting.from_dict(stored) == options
    assert Painting.from_dict({**stored, "of_a_later_version": 1}) == options


def test_damaged_options_are_an_error() -> None:
    with pytest.raises(UsageError, match="--widths"):
        Painting.from_dict({"widths": ["wide"]})


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: "=" not in name), st.floats(-1e9, 1e9)))
def test_weights_are_read_as_they_are_written(layers: dict[str, float]) -> None:
    assert weighted("--layer", [f"{name}={weight!r}" for name, weight in layers.items()]) == layers
    assert weighted("--layer", list(layers)) == dict.fromkeys(layers, 1.0)


def test_a_weight_follows_the_last_equals_sign() -> None:
    assert weighted("--style", ["a=b.png=2"]) == {"a=b.png": 2.0}


@pytest.mark.parametrize("value", ["=1", "conv1=", "conv1=much", "conv1=nan", "conv1=inf", "conv1=1e999"])
def test_other_weights_are_refused(value: str) -> None:
    with pytest.raises(UsageError) as error:
        weighted("--layer", [value])
    assert f"--layer {value}" in error.value.message


def test_names_become_flags() -> None:
    assert spelling("style_weight") == "--style-weight"
    assert {item.name for item, _, _ in described(Painting)} == set(Painting().to_dict()) - {"hidden"}


def test_the_environment_names_the_default_device_and_a_flag_beats_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Common().device == "auto"
    monkeypatch.setenv("GENCLI_DEVICE", "mps")
    assert Common().device == "mps"
    assert Common.build({"device": "cpu"}).device == "cpu"
    monkeypatch.setenv("GENCLI_DEVICE", "")
    assert Common().device == "auto"


# ------------------------------------------------------------------ the command line


@pytest.fixture
def seen() -> dict[str, Any]:
    return {}


@pytest.fixture
def app(seen: dict[str, Any]) -> typer.Typer:
    made = App("Paints.")

    @made.command("paint")
    @command
    def paint(
        options: Painting,
        common: Common,
        name: Annotated[str, typer.Option("--name", help="Its name.")],
        root: Annotated[Path | None, typer.Option("--root", help="Where.", show_default="here")] = None,
    ) -> None:
        """Paint."""
        seen.update(options=options, common=common, name=name, root=root)

    @made.command("look")
    @command
    def look(common: Common) -> None:
        """Look."""

    return made


def invoke(app: typer.Typer, *arguments: str) -> Any:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100"})


def test_flags_reach_the_dataclass(app: typer.Typer, seen: dict[str, Any]) -> None:
    flags = "--name x -s 64 --rate 1e-3 --widths 1,2,3 --shares 0.5,1 --layer a --layer b=2 --words p --words q"
    result = invoke(app, "paint", *flags.split(), "--no-flip", "--tile", "--steps", "9", "--root", "here", "-q")
    assert result.exit_code == 0, result.output
    assert seen["options"] == Painting(
        size=64,
        rate=1e-3,
        steps=9,
        widths=(1, 2, 3),
        shares=(0.5, 1.0),
        layer={"a": 1.0, "b": 2.0},
        words=("p", "q"),
        flip=False,
        tile=True,
    )
    assert (seen["name"], seen["root"], seen["common"].quiet) == ("x", Path("here"), True)


def test_flags_not_given_are_not_named(app: typer.Typer, seen: dict[str, Any]) -> None:
    assert invoke(app, "paint", "--name", "x", "--size", "512", "--preset", "old").exit_code == 0
    assert seen["options"].named() == {"size": 512}
    assert seen["options"].style_loss == "w2"
    assert seen["common"] == Common()


def test_large_seeds_keep_every_digit(app: typer.Typer, seen: dict[str, Any]) -> None:
    assert invoke(app, "paint", "--name", "x", "--seed", "9007199254740993").exit_code == 0
    assert seen["common"].seed == 9007199254740993


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--size abc", "--size abc"),
        ("--size 512.5", "--size 512.5"),
        ("--size 15", "--size 15: must be from 16 to 4096"),
        ("--rate nan", "--rate nan"),
        ("--widths 1,2.5", "--widths 1,2.5"),
        ("--widths 1,,2", "--widths 1,,2"),
        ("--shares 0.5,inf", "--shares 0.5,inf"),
        ("--layer =1", "--layer =1"),
        ("--seed -1", "--seed -1"),
        ("--preset new", "--preset new"),
        ("--style-loss gramm", "--style-loss gramm"),
    ],
)
def test_wrong_values_are_named(app: typer.Typer, flags: str, named: str) -> None:
    error = invoke(app, "paint", "--name", "x", *flags.split()).exception
    assert isinstance(error, UsageError)
    assert named in error.message


def test_help_reads_well(app: typer.Typer) -> None:
    text = invoke(app, "paint", "--help").output
    lines = {line.split("  ")[1]: line for line in text.splitlines() if line.startswith("  -")}
    assert lines["-s, --size N"].endswith("Pixels. [default: 512]")
    assert lines["--rate N"].endswith("Rate. [default: 0.2]")
    assert lines["--steps N"].endswith("Steps. [default: as many as it takes]")
    assert lines["--style-loss gram|w2"].endswith("Loss. [default: gram]")
    assert lines["--keep luminance|histogram"].endswith("Colours.")
    assert lines["--widths N,N,…"].endswith("Widths. [default: 8,16]")
    assert lines["--layer NAME[=WEIGHT]"].endswith("Layers. [default: conv1=1 conv2=0.5]")
    assert lines["--words TEXT"].endswith("Words.")
    assert lines["--flip / --no-flip"].endswith("Flip. [default: on]")
    assert lines["--tile"].endswith("Tile.")
    assert lines["--root PATH"].endswith("Where. [default: here]")
    assert "--no-tile" not in text and "(" not in lines["--rate N"]


def test_help_has_panels_with_the_required_first_and_the_shared_last(app: typer.Typer) -> None:
    text = invoke(app, "paint", "--help").output
    places = [text.index(part) for part in ("Options:", "--name", "--size", "Everywhere:", "--device", "--help")]
    assert places == sorted(places)
    assert text.startswith("Usage: ") and "paint [OPTIONS]" in text.splitlines()[0]
