"""Options as frozen dataclasses, and how a command line is made of them.

A dataclass of options is the only home of their defaults:

    @dataclass(frozen=True)
    class DreamTraining(Options):
        batch_size: Annotated[int, Flag("Pictures a step.", minimum=1)] = 128

Python code constructs it; `command` turns it into flags; a checkpoint stores `to_dict()`. Only flags
that were really given reach the dataclass, so presets and resumed runs can tell them from defaults.
"""

from __future__ import annotations

import inspect
import math
import os
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from gencli.core.errors import UsageError

O = TypeVar("O", bound="Options")  # noqa: E741


@dataclass(frozen=True)
class Flag:
    """How a field reads on the command line: its help, its allowed values, other spellings."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    short: str | None = None  # "-n"
    shown_default: str | None = None  # for defaults that are worked out: "as many as the machine has"


@dataclass(frozen=True)
class Options:
    """Base of all option dataclasses: checks values when constructed, and converts to and from JSON.

    Raises UsageError naming the flag, the value and what was expected.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    given: ClassVar[frozenset[str]] = frozenset()  # the options a person named; instances may carry their own

    def __post_init__(self) -> None:
        for item, flag, _ in described(type(self)):
            value = getattr(self, item.name)
            for single in value if isinstance(value, (tuple, list)) else [value]:
                _check(spelling(item.name), single, flag)

    @classmethod
    def build(cls: type[O], given: Mapping[str, Any], preset: str | None = None) -> O:
        """Options from the values a person gave, over a preset's, over the defaults."""
        if preset is not None and preset not in cls.presets:
            raise UsageError(f"--preset {preset}: there is no such preset", f"use {', '.join(cls.presets)}")
        base = cls.presets[preset] if preset is not None else {}
        options = cls(**{**base, **given})
        object.__setattr__(options, "given", frozenset(given))
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


def described(options: type[Options]) -> list[tuple[Field[Any], Flag, Any]]:
    """The fields that are flags, each with its Flag and bare type."""
    hints = get_type_hints(options, include_extras=True)
    found = []
    for item in fields(options):
        hint = hints[item.name]
        for extra in getattr(hint, "__metadata__", ()):
            if isinstance(extra, Flag):
                found.append((item, extra, get_args(hint)[0]))
    return found


def _check(name: str, value: Any, flag: Flag) -> None:
    if value is None:
        return
    if flag.choices and value not in flag.choices:
        raise UsageError(f"{name} {value}: not one of {', '.join(flag.choices)}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = -math.inf if flag.minimum is None else flag.minimum
        high = math.inf if flag.maximum is None else flag.maximum
        if not low <= value <= high:  # also refuses NaN
            wanted = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            raise UsageError(f"{name} {value:g}: must be {wanted}")


def weighted(name: str, values: list[str]) -> dict[str, float]:
    """`NAME` or `NAME=WEIGHT`, repeated → {name: weight}; a bare name weighs 1."""
    found = {}
    for value in values:
        key, equals, number = value.rpartition("=") if "=" in value else (value, "", "1")
        try:
            found[key] = float(number)
        except ValueError:
            raise UsageError(f"{name} {value}: {number!r} is not a number", f"write {name} NAME=WEIGHT") from None
        if not key or not math.isfinite(found[key]):
            raise UsageError(f"{name} {value}: expected NAME=WEIGHT")
    return found


def numbers(name: str, text: str) -> tuple[float, ...]:
    """`0.2,0.5` → (0.2, 0.5)."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{name} {text}: expected numbers with commas between them") from None


# ------------------------------------------------------------------ flags that mean the same everywhere

Steps = Annotated[Union[int, None], Flag("Train for this many steps.", minimum=1)]
Epochs = Annotated[Union[float, None], Flag("Train for this many passes over the data.", minimum=0)]
Minutes = Annotated[Union[float, None], Flag("Train for this many minutes.", minimum=0)]
Preset = "preset"


@dataclass(frozen=True)
class Common(Options):
    """What every action understands."""

    device: Annotated[str, Flag("auto, cpu, cuda, cuda:N or mps.", shown_default="GENCLI_DEVICE, or auto")] = field(
        default_factory=lambda: os.environ.get("GENCLI_DEVICE") or "auto"
    )
    precision: Annotated[str, Flag("Precision of the arithmetic.", choices=("auto", "fp32", "bf16", "fp16"))] = "auto"
    threads: Annotated[Union[int, None], Flag("CPU threads.", minimum=1, shown_default="all")] = None
    seed: Annotated[
        Union[int, None],
        Flag("The same seed gives the same result.", minimum=0, maximum=2**63 - 1, shown_default="drawn and printed"),
    ] = None
    offline: Annotated[bool, Flag("Never touch the network.")] = False
    preview: Annotated[bool, Flag("Draw pictures in the terminal while they grow.")] = True
    json: Annotated[bool, Flag("Results as JSON lines on standard output.")] = False
    quiet: Annotated[bool, Flag("Only results and errors.", short="-q")] = False
    verbose: Annotated[bool, Flag("Say more.", short="-v")] = False
    debug: Annotated[bool, Flag("Show tracebacks.")] = False


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
            bundles[parameter.name] = hint
            parameters += _typer_parameters(hint)
        else:
            parameters.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))

    def run(**values: Any) -> None:
        preset = values.pop(Preset, None)
        for name, kind in bundles.items():
            given = {}
            for item, flag, hint in described(kind):
                value = values.pop(item.name)
                if value is not None and value != []:
                    given[item.name] = _parse(spelling(item.name), value, hint)
            values[name] = kind.build(given, preset if kind.presets else None)
        function(**values)

    run.__name__, run.__doc__ = function.__name__, function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _typer_parameters(options: type[Options]) -> list[inspect.Parameter]:
    import typer

    found = []
    panel = options.__dict__.get("panel", "Options")
    for item, flag, hint in described(options):
        kind, how = _typer_type(hint)
        name = spelling(item.name)
        declared = [f"{name}/--no-{name[2:]}"] if kind is bool else [name]
        if flag.short:
            declared = [flag.short, *([name] if kind is bool else declared)]
        info = typer.Option(
            *declared,
            help=flag.help + (f" [{'|'.join(flag.choices)}]" if flag.choices else ""),
            metavar=how,
            show_default=flag.shown_default or _shown(item),
            rich_help_panel=panel,
        )
        annotation = Annotated[Union[kind, None], info]
        found.append(inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    if options.presets:
        info = typer.Option("--preset", help=f"A recipe's exact numbers [{'|'.join(options.presets)}].", rich_help_panel=panel)
        found.append(
            inspect.Parameter(
                Preset, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[Union[str, None], info]
            )
        )
    return found


def _bare(hint: Any) -> Any:
    """`X | None` → X."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(arm for arm in get_args(hint) if arm is not type(None))
    return hint


def _typer_type(hint: Any) -> tuple[Any, str | None]:
    """The type Typer parses a field as, and the metavar that says what to write."""
    kind = _bare(hint)
    if get_origin(kind) is dict:
        return list[str], "NAME[=WEIGHT]"
    if get_origin(kind) is tuple:
        return (str, "N,N,…") if get_args(kind)[0] in (int, float) else (list[str], None)
    return kind, None


def _parse(name: str, value: Any, hint: Any) -> Any:
    kind = _bare(hint)
    if get_origin(kind) is dict:
        return weighted(name, value)
    if get_origin(kind) is tuple:
        member = get_args(kind)[0]
        return tuple(value) if member is str else tuple(member(n) for n in numbers(name, value))
    return value


def _shown(item: Field[Any]) -> str | bool:
    value = item.default if item.default is not MISSING else item.default_factory()  # type: ignore[misc]
    if value is None or value == () or value == {} or value is False:
        return False
    if isinstance(value, bool):
        return "yes"
    if isinstance(value, dict):
        return " ".join(f"{k}={v:g}" for k, v in value.items())
    if isinstance(value, tuple):
        return ",".join(str(v) for v in value)
    return str(value)
