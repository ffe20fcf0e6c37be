"""The command line of a stage, made from the signature of its function: flags, help, arguments, checks of its files."""

import argparse
import difflib
import inspect
import os
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import BaseModel

from kinoflow import wording
from kinoflow.errors import ConfigError, DataError
from kinoflow.options import check
from kinoflow.plain_yaml import PlainLoader
from kinoflow.store.files import parse_json
from kinoflow.wording import Kind

PATHS = ("input", "folder", "output", "state")
METAVARS = {"input": "FILE", "folder": "FOLDER", "output": "FILE", "state": "PATH", "value": "VALUE"}
LARGEST_JSON = 1 << 26  # bytes; parsing more is not cheap
EMPTY = ("", "null")  # how an option without a value is written on the command line


@dataclass(frozen=True)
class Parameter:
    """A parameter of a stage: what it is (one of PATHS, "value" or "options"), one or many, and its help."""

    name: str
    kind: str
    hint: Any
    many: bool
    default: Any
    text: str

    @property
    def flag(self) -> str:
        """The flag that it is given by."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def is_needed(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


def parameters(function: Callable[..., None]) -> list[Parameter]:
    """Return the parameters of a stage, in order."""
    hints = typing.get_type_hints(function, include_extras=True)
    _, helps = _documentation(function)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        hint = _without_none(hints[name])
        many = typing.get_origin(hint) is list
        hint = typing.get_args(hint)[0] if many else hint
        is_model = isinstance(hint, type) and issubclass(hint, BaseModel)
        kind = "options" if is_model else str(getattr(hint, "__metadata__", ("value",))[0])
        found.append(Parameter(name, kind, hint, many, parameter.default, helps.get(name, "")))
    return found


def _without_none(hint: Any) -> Any:
    if wording.is_union(hint):
        return next(part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def _documentation(function: Callable[..., None]) -> tuple[str, dict[str, str]]:
    """Return the description and the help of each parameter, from the lines ``name: text`` of a docstring."""
    names, helps, first, name = inspect.signature(function).parameters, {}, [], ""
    for line in (inspect.getdoc(function) or "").splitlines():
        head, colon, rest = line.partition(": ")
        if colon and head in names:
            name = head
            helps[name] = rest.strip()
        elif name and line.startswith(" "):  # the help goes on
            helps[name] += f" {line.strip()}"
        elif not helps:
            first.append(line)
    return "\n".join(first).strip(), helps


# ---------------------------------------------------------------- flags


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence. Words in front of all flags are those of the first parameter, ``first``."""

    first: str | None = None

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        flag = re.fullmatch(r"argument (--[\w-]+): expected .*", message)
        if flag:
            message = f"{flag[1]}: its value is missing (one that begins with - is written {flag[1]}=VALUE)"
        needed = re.fullmatch(r"the following arguments are required: (.*)", message)
        if needed:
            message = f"{wording.listed(needed[1].split(', '), last='and')} must be given; see {self.prog} --help"
        self.exit(2, f"{self.prog}: {message}\n")

    def parse(self, words: list[str]) -> argparse.Namespace:
        """Parse; what is not known is an error, and told before what is missing: it may be the same, misspelt."""
        flags = [word.partition("=")[0] for word in words if word.startswith("--")]
        if self.first and words and not words[0].startswith("-"):
            if self.first in flags:
                self.error(f"{words[0]!r} and {self.first} say the same; give one of them")
            words = [self.first, *words]
        unknown = [flag for flag in flags if flag not in self._option_string_actions]
        if unknown:
            near = difflib.get_close_matches(unknown[0], self._option_string_actions, n=1)
            hint = f"did you mean {near[0]}?" if near else f"see {self.prog} --help"
            self.error(f"there is no flag {unknown[0]}; {hint}")
        given, rest = self.parse_known_args(words)
        if rest:
            self.error(f"{rest[0]!r} belongs to no flag; see {self.prog} --help")
        return given


def parser(function: Callable[..., None]) -> Parser:
    """Return the parser of a stage's command line."""
    name = function.__name__.replace("_", "-")
    made = Parser(prog=f"kinoflow {name}", description=_documentation(function)[0], allow_abbrev=False)
    known = parameters(function)
    made.first = known[0].flag if known and known[0].kind != "options" else None
    for parameter in known:
        if parameter.kind == "options":
            _add_options(made, parameter.hint, {p.name for p in known})
        else:
            shape: dict[str, Any] = {"nargs": "*"} if parameter.many else {}
            shape |= {"metavar": METAVARS[parameter.kind], "required": parameter.is_needed}
            text = (
                f"{parameter.text} (its flag may be left out in front)"
                if parameter.flag == made.first
                else parameter.text
            )
            made.add_argument(parameter.flag, help=text.replace("%", "%%"), **shape)
    made.add_argument("--log", metavar="FILE", help="write what is said here too")
    made.add_argument("--dry-run", action="store_true", help="check the inputs, name the outputs, write nothing")
    return made


def _add_options(made: Parser, model: type[BaseModel], taken: set[str]) -> None:
    """Add a flag for each option, but those that the stage takes as a parameter of the same name."""
    group = made.add_argument_group("options (each also a key of --options; a flag goes before it)")
    group.add_argument("--options", metavar="JSON", help="options as one JSON or YAML text, or @FILE with one")
    for key, field in ((field.alias or name, field) for name, field in model.model_fields.items()):
        if key not in taken:
            default = wording.default(field)
            default = "must be given" if field.is_required() else f"default: {_default(field, default)}"
            text = f"{field.description} [{wording.allowed(field)}; {default}]".replace("%", "%%")
            group.add_argument(f"--{key.replace('_', '-')}", dest=f"option {key}", metavar="VALUE", help=text)


def _default(field: Any, words: str) -> str:
    value = field.get_default(call_default_factory=True)
    return value.model_dump_json(by_alias=True) if isinstance(value, BaseModel) else words


# ---------------------------------------------------------------- values


def arguments(known: list[Parameter], given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a stage; raise ConfigError for a value that is not allowed."""
    found: dict[str, Any] = {}
    for parameter in known:
        value = given.get(parameter.name)
        if parameter.kind == "options":
            found[parameter.name] = check(parameter.hint, _option_values(parameter.hint, given), "command line")
        elif value is None:
            found[parameter.name] = parameter.default
        elif parameter.many:
            found[parameter.name] = [_converted(parameter, word) for word in value]
        else:
            found[parameter.name] = _converted(parameter, value)
    return found


def _converted(parameter: Parameter, word: str) -> Any:
    if parameter.kind in PATHS:
        return Path(word)
    if parameter.hint is bool:
        if word.lower() not in ("true", "false"):
            raise ConfigError(f"{parameter.flag}: {word!r} is not allowed: give true or false")
        return word.lower() == "true"
    try:
        return parameter.hint(word)
    except ValueError:
        raise ConfigError(
            f"{parameter.flag}: {word!r} is not allowed: give {wording.SCALARS[parameter.hint]}"
        ) from None


def _option_values(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    values = _options_text(given["options"]) if given["options"] else {}
    for key, word in given.items():
        name = key.removeprefix("option ")
        if name != key and word is not None:
            field = wording.field_of(model, name)
            values[name] = _option_value(name, Kind.of_field(field), word)
    return values


def _options_text(text: str) -> dict[str, Any]:
    """Return the values of --options: JSON, as the workflow writes it, or YAML, as people do."""
    source = text
    if text.startswith("@"):
        try:
            source = Path(text[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"--options: the file {said(text[1:])} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"--options: the file {said(text[1:])} holds no text") from None
    values = _parsed("--options", source)
    if not isinstance(values, dict):
        raise ConfigError(f'--options: {wording.shown(values)} is not allowed: give a mapping ({{"key": value}})')
    return values


def _parsed(flag: str, text: str) -> Any:
    try:
        return parse_json(text)  # YAML would read 1e-05 as a text and tear characters beyond 16 bits apart
    except ValueError:
        pass
    try:
        return yaml.load(text, PlainLoader)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be read")
        raise ConfigError(f"{flag}: {wording.shown(text)} is neither JSON nor YAML: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{flag}: {wording.shown(text)} is nested too deeply") from None


def _option_value(name: str, kind: Kind, word: str) -> Any:
    """Return the value of an option's flag: a word as it is where a word is wanted, else what it says as YAML."""
    start = word.lstrip()[:1]
    if kind.may_be_empty and word in EMPTY:
        return None
    if kind.is_model or kind.is_mapping or (kind.choices and start == "{") or (kind.items and start == "["):
        return _parsed(f"--{name.replace('_', '-')}", word)
    if typing.get_origin(kind.annotation) is typing.Literal:  # its values may be numbers
        return next((value for value in typing.get_args(kind.annotation) if str(value) == word), word)
    return [word] if kind.items else word


# ---------------------------------------------------------------- files


def check_inputs(known: list[Parameter], values: dict[str, Any], closely: bool = False) -> None:
    """Raise DataError for an input that is not there or cannot be read; ``closely``: or is not what its suffix says."""
    for parameter, path in _paths(known, values, ("input", "folder")):
        problem = _problem(path, parameter.kind == "folder")
        if problem is None and closely and parameter.kind == "input":
            problem = _content_problem(path)
        if problem:
            raise DataError(f"{parameter.flag}: {problem}")


def outputs(known: list[Parameter], values: dict[str, Any]) -> list[str]:
    """Return the names of the files that a stage would write."""
    return [said(path) for _, path in _paths(known, values, ("output",))]


def said(path: str | os.PathLike) -> str:
    """Return the name of a file as it is written in a sentence: as it is, or with escapes if it could not be read so."""
    text = os.fspath(path)
    return text if text.isprintable() and text else repr(text)


def _paths(known: list[Parameter], values: dict[str, Any], kinds: tuple[str, ...]) -> list[tuple[Parameter, Path]]:
    chosen = [parameter for parameter in known if parameter.kind in kinds and values[parameter.name] is not None]
    return [(p, path) for p in chosen for path in (values[p.name] if p.many else [values[p.name]])]


def _problem(path: Path, is_folder: bool) -> str | None:
    what = "folder" if is_folder else "file"
    if not path.exists():
        return f"there is no {what} {said(path)}; correct the name, or run the stage that makes it"
    if path.is_dir() != is_folder:
        return f"{said(path)} is {'no' if is_folder else 'a'} folder"
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        return f"the {what} {said(path)} cannot be read: this user has no right to"
    return None


def _content_problem(path: Path) -> str | None:
    """Return what is wrong with the content of a file, as far as a look at its beginning tells."""
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    size = path.stat().st_size
    if path.suffix == ".h5" and not head.startswith(b"\x89HDF\r\n\x1a\n"):
        return f"{said(path)} is no HDF5 file; delete it and run the stage that makes it again"
    if path.suffix == ".csv" and (b"\0" in head or not head.strip()):
        return f"{said(path)} is no CSV table: its first line must name the columns"
    if path.suffix == ".safetensors" and not 8 < 8 + int.from_bytes(head[:8], "little") <= size:
        return f"{said(path)} is no safetensors file, or only a part of one"
    if path.suffix == ".json" and size <= LARGEST_JSON:
        try:
            parse_json(path.read_bytes())
        except ValueError as error:
            return f"{said(path)} is no JSON file: {error}"
    return None
