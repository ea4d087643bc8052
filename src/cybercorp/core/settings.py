"""One loader for every program's settings, one order: default < file < environment < flag.

A program's settings are one frozen msgspec Struct. An unknown key is an error that names the file, the key and the
nearest right one; a wrong value is an error that names where it stands and what was expected.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from cybercorp.core.errors import SettingsError
from cybercorp.core.paths import config_dir

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)
_FALSE, _TRUE = {"0", "false", "no", "off"}, {"1", "true", "yes", "on"}


def load_settings(
    kind: type[SettingsT],
    *,
    program: str,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> SettingsT:
    """The settings of `program`, from `<config>/<program>.toml`, `CYBERCORP_<PROGRAM>_<KEY>` and `overrides`.

    `overrides` whose value is None were not given and are left out. Raises SettingsError.
    """
    environment = os.environ if environ is None else environ
    path = file or config_dir() / f"{program}.toml"
    values: dict[str, Any] = {}
    values.update(_checked(kind, _read_file(path, required=file is not None), where=str(path)))
    values.update(_checked(kind, _read_environment(kind, program, environment), where="the environment"))
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    values.update(_checked(kind, given, where="the command line"))
    return msgspec.convert(values, kind, strict=False)


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"The settings file {path} does not exist.", hint="Check its name.") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}.", hint="Mend its rights.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.", hint="Mend that line.") from error


def _read_environment(kind: type[msgspec.Struct], program: str, environ: Mapping[str, str]) -> dict[str, Any]:
    prefix = f"CYBERCORP_{program.upper()}_"
    fields = {one.name: one.type for one in msgspec.structs.fields(kind)}
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(prefix):
            continue
        key = variable.removeprefix(prefix).lower()
        if key not in fields:
            raise SettingsError(f"The variable {variable} is no setting.{_nearest(key, fields)}", hint="Unset it.")
        found[key] = _from_text(text, fields[key])
    return found


def _from_text(text: str, wanted: Any) -> Any:
    if hasattr(wanted, "__metadata__"):  # Annotated
        wanted = wanted.__origin__
    if wanted is bool:
        lowered = text.strip().lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else text
    if getattr(wanted, "__origin__", None) in (list, tuple):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _checked(kind: type[msgspec.Struct], values: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    fields = {one.name: one for one in msgspec.structs.fields(kind)}
    for key, value in values.items():
        if key not in fields:
            raise SettingsError(
                f"'{key}' in {where} is no setting.{_nearest(key, fields)}",
                hint="The settings reference lists them all.",
            )
        try:
            msgspec.convert(value, fields[key].type, strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(
                f"The setting '{key}' in {where} has the wrong value {str(value)[:80]!r}: {error}.", hint="Correct it."
            ) from error
    return dict(values)


def _nearest(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
