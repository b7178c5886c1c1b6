"""Options as frozen dataclasses, and how a command line is made of them.

A dataclass of options is the only home of their defaults:

    @dataclass(frozen=True)
    class DreamTraining(Options):
        batch_size: Annotated[int, Flag("Pictures a step.", minimum=1)] = 128

Python code constructs it; `command` turns it into flags; a checkpoint stores `to_dict()`. Only flags
that were really given reach the dataclass, so presets and resumed runs can tell them from defaults.
"""

from __future__ import annotations

import copy
import inspect
import math
import os
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from gencli.core.errors import UsageError

if TYPE_CHECKING:
    from gencli.core.device import Runtime

O = TypeVar("O", bound="Options")  # noqa: E741
T = TypeVar("T", bound="Training")

DEFAULT_EPOCHS = 30.0  # of a training on pictures that nothing else ends
EVERYWHERE = "Everywhere"  # the panel of the flags every action understands


@dataclass(frozen=True)
class Flag:
    """How a field reads on the command line: its help, its allowed values, other spellings."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    short: str | None = None  # "-n"
    shown_default: str | None = None  # for defaults that are worked out: "as many as the machine has"
    bare: str | None = None  # what it means without a value


@dataclass(frozen=True)
class Options:
    """Base of all option dataclasses: checks values when constructed, and converts to and from JSON.

    Raises UsageError naming the flag, the value and what was expected.
    """

    panel: ClassVar[str] = "Options"  # under which its flags stand in the help
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    given: ClassVar[frozenset[str]] = frozenset()  # the options a person named; instances may carry their own
    chosen: ClassVar[Mapping[str, Any]] = {}  # the values a person named, or the preset that they named

    def __post_init__(self) -> None:
        for item, flag, hint in described(type(self)):
            value = getattr(self, item.name)
            if value is None and _bare(hint) is not hint:
                continue
            for single in _members(spelling(item.name), value, hint):
                _check(spelling(item.name), single, flag, _member_type(hint))

    @classmethod
    def build(cls: type[O], given: Mapping[str, Any], preset: str | None = None) -> O:
        """Options from the values a person gave, over a preset's, over the defaults."""
        if preset is not None and preset not in cls.presets:
            raise UsageError(f"--preset {preset}: there is no such preset", f"use {', '.join(cls.presets)}")
        base = cls.presets[preset] if preset is not None else {}
        options = cls(**{**base, **given})
        object.__setattr__(options, "given", frozenset(given))
        object.__setattr__(options, "chosen", {**base, **given})
        return options

    def replace(self: O, **changes: Any) -> O:
        """The same options but for `changes`."""
        return replace(self, **changes)

    def named(self) -> dict[str, Any]:
        """The values of the options a person named."""
        return {name: getattr(self, name) for name in self.given}

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[O], stored: Mapping[str, Any]) -> O:
        """The reverse of `to_dict`. Options this version does not know are left out."""
        known = {item.name for item in fields(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k in known})


def spelling(name: str) -> str:
    """A field's name as a flag: `style_weight` → `--style-weight`."""
    return "--" + name.strip("_").replace("_", "-")


def described(options: type[Options]) -> tuple[tuple[Field[Any], Flag, Any], ...]:
    """The fields that are flags, each with its Flag and bare type."""
    if options not in _described:
        hints = get_type_hints(options, include_extras=True)
        _described[options] = tuple(
            (item, extra, get_args(hints[item.name])[0])
            for item in fields(options)
            for extra in getattr(hints[item.name], "__metadata__", ())
            if isinstance(extra, Flag)
        )
    return _described[options]


_described: dict[type[Options], tuple[tuple[Field[Any], Flag, Any], ...]] = {}  # evaluating hints is slow


def _members(name: str, value: Any, hint: Any) -> Iterable[Any]:
    """The single values of a field: of a tuple its members, of a dict its weights."""
    outer = get_origin(_bare(hint))
    if outer is None:
        return [value]
    if not isinstance(value, (tuple, list) if outer is tuple else outer):
        raise UsageError(f"{name} {value!r}: expected several values")
    return value.values() if isinstance(value, dict) else value


def _check(name: str, value: Any, flag: Flag, kind: type) -> None:
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{name} {value!r}: expected {_KINDS.get(kind, kind.__name__)}")
    if flag.choices and value not in flag.choices:
        raise UsageError(f"{name} {value}: not one of {', '.join(flag.choices)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = -math.inf if flag.minimum is None else flag.minimum
        high = math.inf if flag.maximum is None else flag.maximum
        if not (low <= value <= high and math.isfinite(value)):
            raise UsageError(f"{name} {value}: must be {_range(low, high)}")


_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "yes or no"}


def _range(low: float, high: float) -> str:
    least, most = (str(bound) if isinstance(bound, int) else f"{bound:g}" for bound in (low, high))
    if high == math.inf:
        return "a finite number" if low == -math.inf else f"at least {least}"
    return f"at most {most}" if low == -math.inf else f"from {least} to {most}"


def weighted(name: str, values: list[str]) -> dict[str, float]:
    """`NAME` or `NAME=WEIGHT`, repeated → {name: weight}; a bare name weighs 1. UsageError for others."""
    found = {}
    for value in values:
        key, _, number = value.rpartition("=") if "=" in value else (value, "", "1")
        if not key:
            raise UsageError(f"{name} {value}: expected NAME=WEIGHT")
        found[key] = _number(f"{name} {value}", number)
    return found


def numbers(name: str, text: str) -> tuple[float, ...]:
    """`1,-2,0.5` → numbers. UsageError naming the flag for others."""
    return tuple(_number(f"{name} {text}", part) for part in text.split(","))


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """`1,-2,3` → whole numbers. UsageError naming the flag for others."""
    return tuple(_whole(f"{name} {text}", part) for part in text.split(","))


def _number(where: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise UsageError(f"{where}: {text!r} is not a number") from None
    if not math.isfinite(number):
        raise UsageError(f"{where}: {text!r} is not a finite number")
    return number


def _whole(where: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{where}: {text!r} is not a whole number") from None


# ------------------------------------------------------------------ flags that mean the same everywhere

Preset = "preset"


@dataclass(frozen=True)
class Training(Options):
    """Base of the options of trainings: what ends them, whatever comes first."""

    usual: ClassVar[Mapping[str, float]] = {"epochs": DEFAULT_EPOCHS}  # the end of those that name none
    mixed: ClassVar[bool] = False  # whether bf16 is worth it on CPUs that compute it natively

    steps: Annotated[int | None, Flag("Train for this many steps.", minimum=1)] = None
    epochs: Annotated[
        float | None,
        Flag(
            "Train for this many passes over the data.", 0, shown_default=f"{DEFAULT_EPOCHS:g} if nothing else ends it"
        ),
    ] = None
    minutes: Annotated[float | None, Flag("Train for this many minutes.", minimum=0)] = None

    def ended(self: T) -> T:
        """The same options, with the usual end where none is named."""
        return self.replace(**self.usual) if self.steps is self.epochs is self.minutes is None else self


@dataclass(frozen=True)
class Common(Options):
    """What every action understands."""

    panel: ClassVar[str] = EVERYWHERE

    device: Annotated[str, Flag("auto, cpu, cuda, cuda:N or mps.", shown_default="GENCLI_DEVICE, or auto")] = field(
        default_factory=lambda: os.environ.get("GENCLI_DEVICE") or "auto"
    )
    precision: Annotated[str, Flag("Precision of the arithmetic.", choices=("auto", "fp32", "bf16", "fp16"))] = "auto"
    threads: Annotated[int | None, Flag("CPU threads.", minimum=1, shown_default="all")] = None
    seed: Annotated[
        int | None,
        Flag(
            "The same seed gives the same result.",
            minimum=0,
            maximum=2**63 - 1,
            shown_default="drawn and printed",
        ),
    ] = None
    offline: Annotated[bool, Flag("Never touch the network.")] = False
    preview: Annotated[bool, Flag("Draw pictures in the terminal while they grow.")] = True
    json: Annotated[bool, Flag("Results as JSON lines on standard output.")] = False
    quiet: Annotated[bool, Flag("Only results and errors.", short="-q")] = False
    verbose: Annotated[bool, Flag("Say more.", short="-v")] = False
    debug: Annotated[bool, Flag("Show tracebacks.")] = False

    def start(self, *, mixed: bool = False, sparing: bool = False) -> Runtime:
        """What a command computes on; `mixed` where bf16 is worth it on a CPU, `sparing` where memory counts for more
        than time. Raises UsageError for a device that is not there."""
        from gencli.core import device

        return device.start(self.device, self.precision, self.threads, mixed=mixed, sparing=sparing)


# ------------------------------------------------------------------ dataclasses → Typer


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command's signature hold whole option dataclasses.

    Each parameter annotated with a subclass of Options is replaced, in the signature Typer reads, by
    one flag for each of its fields, and `--preset` where it has presets. Flags not given stay out of
    the dataclass's construction.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters: list[inspect.Parameter] = []
    bundles: dict[str, type[Options]] = {}
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if isinstance(hint, type) and issubclass(hint, Options):
            first = hint.presets and not any(kind.presets for kind in bundles.values())
            bundles[parameter.name] = hint
            parameters += _typer_parameters(hint)
            parameters += [_preset(hint)] if first else []  # others have more of the same
        else:
            parameters.append(parameter.replace(annotation=_readable(hint), kind=inspect.Parameter.KEYWORD_ONLY))

    def run(**values: Any) -> None:
        preset = values.pop(Preset, None)
        known = any(preset in kind.presets for kind in bundles.values())
        for name, kind in bundles.items():
            given = {}
            for item, _, hint in described(kind):
                value = values.pop(item.name)
                if value is not None and value != []:
                    given[item.name] = _parse(spelling(item.name), value, hint)
            theirs = preset in kind.presets or (kind.presets and not known)  # who does not know it says so
            values[name] = kind.build(given, preset if theirs else None)
        function(**values)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    flags = [(item, flag) for kind in bundles.values() for item, flag, _ in described(kind)]
    run.bare = {spelling(item.name): flag.bare for item, flag in flags if flag.bare}  # type: ignore[attr-defined]
    return run


def _typer_parameters(options: type[Options]) -> list[inspect.Parameter]:
    import typer

    found = []
    for item, flag, hint in described(options):
        kind, metavar = _typer_type(hint)
        default = _default(item)
        name = spelling(item.name)
        declared = f"{name}/--no-{name[2:]}" if kind is bool and default is True else name
        shown = flag.shown_default or _shown(default)
        info = typer.Option(
            *([flag.short] if flag.short else []),
            declared,
            help=flag.help + (f" [default: {shown}]" if shown else ""),
            metavar="|".join(flag.choices) or metavar,
            show_default=False,
            rich_help_panel=options.panel,
        )
        found.append(_parameter(item.name, kind, info))
    return found


def _preset(options: type[Options]) -> inspect.Parameter:
    import typer

    info = typer.Option(
        "--preset", help="A recipe's exact numbers.", metavar="|".join(options.presets), rich_help_panel=options.panel
    )
    return _parameter(Preset, str, info)


def _parameter(name: str, kind: Any, info: Any) -> inspect.Parameter:
    annotation = Annotated[kind | None, info]  # None: not given
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _readable(hint: Any) -> Any:
    """A command's own parameter in the same clothes: N and PATH for what to write, `[default: …]` bare."""
    import typer

    infos = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, typer.models.OptionInfo)]
    if not infos:
        return hint
    info = copy.copy(infos[0])
    info.metavar = info.metavar or _metavar(get_args(hint)[0])
    if isinstance(info.show_default, str):
        info.help, info.show_default = f"{info.help} [default: {info.show_default}]", False
    return Annotated[get_args(hint)[0], info]


def _bare(hint: Any) -> Any:
    """`X | None` → X."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(arm for arm in get_args(hint) if arm is not type(None))
    return hint


def _member_type(hint: Any) -> Any:
    """The type of a field's single values: float of `tuple[float, ...]` and of `dict[str, float]`."""
    kind = _bare(hint)
    inner = get_args(kind)
    if get_origin(kind) is dict:
        return inner[1]
    return inner[0] if get_origin(kind) in (tuple, list) else kind


def _typer_type(hint: Any) -> tuple[Any, str | None]:
    """The type Typer parses a field as, and the metavar that says what to write."""
    kind, member = _bare(hint), _member_type(hint)
    if get_origin(kind) is dict:
        return list[str], "NAME[=WEIGHT]"
    if get_origin(kind) is tuple:
        return (list[str], "TEXT") if member is str else (str, "N,N,…")
    return str if member in (int, float) else kind, _metavar(hint)  # numbers are parsed here: errors name the value


def _metavar(hint: Any) -> str | None:
    """What to write for a value of a type; None for a switch."""
    return {int: "N", float: "N", bool: None, Path: "PATH"}.get(_member_type(hint), "TEXT")


def _parse(name: str, value: Any, hint: Any) -> Any:
    """What Typer hands over for a flag → the field's value."""
    kind, member = _bare(hint), _member_type(hint)
    if get_origin(kind) is dict:
        return weighted(name, value)
    if member not in (int, float):
        return tuple(value) if get_origin(kind) is tuple else value
    if get_origin(kind) is tuple:
        return (whole_numbers if member is int else numbers)(name, value)
    return (_whole if member is int else _number)(f"{name} {value}", value)


def _default(item: Field[Any]) -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


def _shown(value: Any) -> str:
    """A default as one would write it on the command line; "" for none."""
    if value is None or value is False:
        return ""
    if isinstance(value, bool):
        return "on"
    if isinstance(value, dict):
        return " ".join(f"{name}={weight:g}" for name, weight in value.items())
    if isinstance(value, tuple):
        return ",".join(_shown(member) for member in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
