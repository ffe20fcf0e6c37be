"""From a stage function to a command: its flags, its checks, its one sentence when something is wrong."""

import argparse
import fcntl
import inspect
import json
import logging
import os
import select
import signal
import sys
import threading
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from kinoflow.errors import ConfigError, DataError, KinoflowError
from kinoflow.fingerprint import stage_code
from kinoflow.options import check
from kinoflow.progress import log

MAIN = "KINOFLOW_MAIN"  # "<pid> <pid namespace> <owner file> <owner's text>" of the workflow's main process; set for local jobs only


def run(target: str, function: Callable[..., None], words: list[str]) -> int:
    """Run a stage with the words of a command line; return the exit status."""
    name = target.partition(":")[2]
    parser, parameters = _parser(function), _parameters(function)
    given = parser.parse_args(words)
    _start_log(given.log)
    try:
        end_with_main()
        signal.signal(signal.SIGTERM, _terminate)
        arguments = _arguments(parameters, vars(given))
        _check_inputs(parameters, arguments)
        if given.dry_run:
            for line in _outputs(parameters, arguments):
                print(line)
            return 0
        if "code" in parameters and not arguments.get("code"):
            arguments["code"] = stage_code(target)
        function(**arguments)
        return 0
    except KinoflowError as error:
        log.error("kinoflow %s: %s", name.replace("_", "-"), error)
        return 1
    except KeyboardInterrupt:
        log.error("kinoflow %s: interrupted; the same command continues", name.replace("_", "-"))
        return 130
    except Exception:
        log.exception(
            "kinoflow %s: this is a bug in kinoflow, please report it with the lines below", name.replace("_", "-")
        )
        return 70


def _terminate(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)


# ---------------------------------------------------------------- the command line, from the signature


def _parameters(function: Callable[..., None]) -> dict[str, tuple[Any, str, Any]]:
    """Return {parameter: (type, kind, default)}; kind is input, folder, output, state, inputs, options or value."""
    hints = typing.get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        hint = _without_none(hints[name])
        if typing.get_origin(hint) is list:
            kind = f"{_mark(typing.get_args(hint)[0])}s"
        elif isinstance(hint, type) and issubclass(hint, BaseModel):
            kind = "options"
        else:
            kind = _mark(hint)
        found[name] = (hint, kind, parameter.default)
    return found


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _mark(hint: Any) -> str:
    metadata = getattr(hint, "__metadata__", ())
    return str(metadata[0]) if metadata else "value"


def _parser(function: Callable[..., None]) -> argparse.ArgumentParser:
    first, helps = _documentation(function)
    parser = argparse.ArgumentParser(prog=f"kinoflow {function.__name__.replace('_', '-')}", description=first)
    for name, (hint, kind, default) in _parameters(function).items():
        flag, text = f"--{name.replace('_', '-')}", helps.get(name, "").replace("%", "%%")
        needed = default is inspect.Parameter.empty
        if kind == "options":
            _add_options(parser, hint, set(_parameters(function)))
        elif kind.endswith("s"):
            parser.add_argument(
                flag, nargs="*", required=needed, help=text, metavar="FILE" if kind == "inputs" else "VALUE"
            )
        else:
            parser.add_argument(flag, required=needed, help=text, metavar="VALUE" if kind == "value" else kind.upper())
    parser.add_argument("--log", metavar="FILE", help="write what is said here too")
    parser.add_argument("--dry-run", action="store_true", help="check the inputs, name the outputs, write nothing")
    return parser


def _documentation(function: Callable[..., None]) -> tuple[str, dict[str, str]]:
    """Return the description and the help of each parameter, from the lines ``name: text`` of a docstring."""
    text = inspect.getdoc(function) or ""
    names, helps, first = inspect.signature(function).parameters, {}, []
    for line in text.splitlines():
        head, colon, rest = line.partition(": ")
        if colon and head in names:
            helps[head] = rest.strip()
        elif not helps:
            first.append(line)
    return "\n".join(first).strip(), helps


def _add_options(parser: argparse.ArgumentParser, model: type[BaseModel], parameters: set[str]) -> None:
    """Add a flag for each option, but those that the stage takes as a parameter of the same name."""
    group = parser.add_argument_group("options (each also a key of the JSON text or file of --options)")
    group.add_argument("--options", metavar="JSON", help="all options as one JSON text, or @FILE (JSON or YAML)")
    for name, field in model.model_fields.items():
        if name in parameters:
            continue
        unit = (field.json_schema_extra or {}).get("unit", "")
        default = (
            "must be given"
            if field.is_required()
            else f"default: {json.dumps(_plain(field.get_default(call_default_factory=True)))}"
        )
        text = f"{field.description} [{', '.join(filter(None, (unit, default)))}]".replace("%", "%%")
        group.add_argument(
            f"--{(field.alias or name).replace('_', '-')}",
            dest=f"option {field.alias or name}",
            metavar="VALUE",
            help=text,
        )


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _arguments(parameters: dict[str, tuple[Any, str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, (hint, kind, default) in parameters.items():
        if kind == "options":
            arguments[name] = check(hint, _option_values(given), "command line")
            continue
        value = given[name]
        if value is None:
            arguments[name] = default
        elif kind in ("input", "folder", "output", "state"):
            arguments[name] = Path(value)
        elif kind in ("inputs", "outputs", "states"):
            arguments[name] = [Path(v) for v in value]
        else:
            arguments[name] = _converted(name, value, hint)
    return arguments


def _converted(name: str, value: Any, hint: Any) -> Any:
    try:
        return hint(value) if hint in (int, float) else value
    except ValueError:
        raise ConfigError(f"--{name}: {value!r} is no {'whole ' if hint is int else ''}number") from None


def _option_values(given: dict[str, Any]) -> dict[str, Any]:
    text = given["options"] or "{}"
    try:
        values = yaml.safe_load(Path(text[1:]).read_text() if text.startswith("@") else text)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"--options: this is no JSON text and no @FILE that can be read: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--options: {text[:60]!r} is no JSON object")
    for name, value in given.items():
        if name.startswith("option ") and value is not None:
            values[name.removeprefix("option ")] = yaml.safe_load(value)
    return values


def _check_inputs(parameters: dict[str, tuple[Any, str, Any]], arguments: dict[str, Any]) -> None:
    for name, (_, kind, _) in parameters.items():
        paths = arguments[name] if kind == "inputs" else [arguments[name]]
        if kind in ("input", "inputs", "folder"):
            for path in filter(None, paths or ()):
                if not path.exists():
                    raise DataError(
                        f"--{name.replace('_', '-')}: there is no {path}; the stage that makes it has not run"
                    )
                if path.is_dir() != (kind == "folder"):
                    raise DataError(f"--{name.replace('_', '-')}: {path} is {'no' if kind == 'folder' else 'a'} folder")


def _outputs(parameters: dict[str, tuple[Any, str, Any]], arguments: dict[str, Any]) -> list[str]:
    found = []
    for name, (_, kind, _) in parameters.items():
        if kind in ("output", "outputs") and arguments[name]:
            found += [str(path) for path in (arguments[name] if kind == "outputs" else [arguments[name]])]
    return found


# ---------------------------------------------------------------- the process


def _start_log(path: str | None) -> None:
    log.setLevel(logging.INFO)
    log.handlers.clear()
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w", encoding="utf-8", errors="backslashreplace"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
    log.propagate = False


def end_with_main() -> None:
    """End this process as soon as the workflow's main process is gone.

    An orphan must not write where the next run works. In the main's own pid namespace a pid file descriptor tells (no race
    with a reused pid once it is open). In a container with a namespace of its own the main process is not to be seen: there
    the lock that it holds on its owner file tells, looked at once a second.
    """
    if MAIN not in os.environ:
        return
    pid, namespace, owner = os.environ[MAIN].split(" ", 2)
    if namespace == os.readlink("/proc/self/ns/pid"):
        try:
            gone = os.pidfd_open(int(pid))
        except ProcessLookupError:
            os._exit(1)
        threading.Thread(target=lambda: (select.select([gone], [], []), os._exit(1)), daemon=True).start()
    elif os.path.exists(owner):
        threading.Thread(target=_watch_lock, args=(owner, Path(owner).read_text()), daemon=True).start()


def _watch_lock(owner: str, text: str) -> None:
    pause = threading.Event()
    with open(owner) as file:
        while Path(owner).read_text() == text:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break  # nobody holds it
            except BlockingIOError:
                pause.wait(1.0)
    os._exit(1)
