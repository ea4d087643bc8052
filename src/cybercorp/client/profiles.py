"""Which server, and with which token: arguments, then the environment, then a profile, then this machine's own server.

Profiles stand in `<config>/profiles.toml`, readable by their owner only:

    default = "prod"

    [profiles.prod]
    url = "https://monitor.example.com"
    token = "cco_…"
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from cybercorp.client.addresses import check_url
from cybercorp.core.errors import AccessError, InvalidInputError, NotFoundError, SettingsError, UnreachableError
from cybercorp.core.paths import config_dir as default_config_dir
from cybercorp.core.paths import data_dir as default_data_dir
from cybercorp.core.paths import ensure_private_dir, write_private_file
from cybercorp.security.credentials import OWNER_FILE, Credential, read_credential

PROFILES_FILE = "profiles.toml"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server that this user talks to."""

    url: str
    token: str = ""
    user: str = ""
    pins: tuple[str, ...] = ()
    authority: str = ""


class Profiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: profiles by name, and the one that is used when none is named."""

    default: str | None = None
    profiles: dict[str, Profile] = {}


def find_credential(
    url: str | None = None,
    *,
    token: str | None = None,
    profile: str | None = None,
    data_dir: Path | None = None,
    environ: Mapping[str, str] | None = None,
    config_dir: Path | None = None,
) -> Credential:
    """The server to talk to and the token to show it.

    The first that says something wins: arguments (`url`, `token`, `profile`), `CYBERCORP_URL` and `CYBERCORP_TOKEN`,
    `CYBERCORP_PROFILE` or the file's default profile, the local owner's credential in `data_dir`, the only profile that
    there is. An address without a token takes the token that a profile or the local owner has for the same address, and
    none otherwise.

    Raises UnreachableError (`no_server`) where nothing is found, NotFoundError (`profile_not_found`), SettingsError and
    InvalidInputError (`invalid_url`) for what cannot be used, AccessError where others can read the secrets.
    """
    environment = os.environ if environ is None else environ
    config = config_dir or default_config_dir()
    if url is None and profile is not None:
        return _from_profile(read_profiles(config), profile, config, token)
    url = url or environment.get("CYBERCORP_URL") or None
    token = token or environment.get("CYBERCORP_TOKEN") or None
    if url is not None:
        address = check_url(url)
        known = _known(address, config, data_dir)
        return msgspec.structs.replace(known, token=token) if token else known
    profiles = read_profiles(config)
    name = environment.get("CYBERCORP_PROFILE") or profiles.default
    if name:
        return _from_profile(profiles, name, config, token)
    folder = data_dir or default_data_dir()
    local = read_credential(folder / OWNER_FILE)
    if local is None and len(profiles.profiles) == 1:  # somebody logged out of the only server there is
        return _from_profile(profiles, next(iter(profiles.profiles)), config, token)
    if local is None:
        known_names = ", ".join(sorted(profiles.profiles))
        raise UnreachableError(
            f"No server is known: no profile is chosen and no server has run with the data in {folder}.",
            hint=f"Choose one with --profile: {known_names}."
            if known_names
            else "Start one with: cybercorp up. Or name one with --url or CYBERCORP_URL.",
            code="no_server",
        )
    return msgspec.structs.replace(local, url=check_url(local.url), token=token or local.token)


def profile_name(url: str) -> str:
    """The name for a server that nobody has named: its host, and the port where it is not the usual one."""
    split = urlsplit(url)
    port = f"-{split.port}" if split.port not in (None, 443, 8765) else ""
    made = re.sub(r"[^A-Za-z0-9_-]+", "-", f"{split.hostname or 'server'}{port}")[:64].strip("-")
    return made or "server"


def read_profiles(config_dir: Path | None = None) -> Profiles:
    """The profiles of this user, none where there is no file. Raises SettingsError and AccessError."""
    path = (config_dir or default_config_dir()) / PROFILES_FILE
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(1 << 20)
    except FileNotFoundError:
        return Profiles()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}.", hint="Mend its rights.") from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise AccessError(
            f"{path} holds tokens and can be read by others.", hint=f"Run: chmod 600 {path}", code="credential_exposed"
        )
    try:
        return msgspec.convert(tomllib.loads(content.decode()), Profiles)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise SettingsError(f"{path} cannot be used: {error}.", hint="Correct it.") from error


def save_profile(name: str, profile: Profile, *, default: bool = False, config_dir: Path | None = None) -> Path:
    """Add or replace one profile; the first one, or with `default`, becomes the default. Returns the file (0600)."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "A profile's name has 1 to 64 letters, digits, '-' or '_'.", hint="Choose another one.", code="invalid_name"
        )
    made = msgspec.structs.replace(profile, url=check_url(profile.url))
    with _locked(config_dir):
        known = read_profiles(config_dir)
        profiles = {**known.profiles, name: made}
        return _write(
            Profiles(default=name if default or not known.default else known.default, profiles=profiles), config_dir
        )


def keep_authority(credential: Credential, *, config_dir: Path | None = None) -> None:
    """Keep pins and authority with the profile that the credential is of, where it is of one."""
    if not credential.profile:
        return
    with _locked(config_dir):
        known = read_profiles(config_dir)
        one = known.profiles.get(credential.profile)
        if one is not None:
            changed = msgspec.structs.replace(one, pins=credential.pins, authority=credential.authority)
            profiles = {**known.profiles, credential.profile: changed}
            _write(Profiles(default=known.default, profiles=profiles), config_dir)


def forget_default(name: str, *, config_dir: Path | None = None) -> None:
    """Nobody is logged in with this profile any more: it is not what is used when none is named."""
    with _locked(config_dir):
        known = read_profiles(config_dir)
        if name in known.profiles:
            profiles = {**known.profiles, name: msgspec.structs.replace(known.profiles[name], user="")}
            _write(Profiles(default=None if known.default == name else known.default, profiles=profiles), config_dir)


def remove_profile(name: str, *, config_dir: Path | None = None) -> Path:
    """Forget one profile. Raises NotFoundError (`profile_not_found`)."""
    with _locked(config_dir):
        known = read_profiles(config_dir)
        if name not in known.profiles:
            raise _no_profile(known, name, config_dir or default_config_dir())
        profiles = {key: value for key, value in known.profiles.items() if key != name}
        return _write(Profiles(default=None if known.default == name else known.default, profiles=profiles), config_dir)


@contextlib.contextmanager
def _locked(config_dir: Path | None) -> Iterator[None]:
    """Who reads the file to write it anew is alone meanwhile: else one of two changes at once would be lost."""
    folder = config_dir or default_config_dir()
    ensure_private_dir(folder)
    descriptor = os.open(folder / f"{PROFILES_FILE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        yield
    finally:
        os.close(descriptor)


def _write(profiles: Profiles, config_dir: Path | None) -> Path:
    lines = [f"default = {_quoted(profiles.default)}", ""] if profiles.default else []
    for name, one in sorted(profiles.profiles.items()):
        lines += [f"[profiles.{name}]", f"url = {_quoted(one.url)}"]
        lines += [f"{key} = {_quoted(value)}" for key in ("token", "user", "authority") if (value := getattr(one, key))]
        lines += [f"pins = [{', '.join(map(_quoted, one.pins))}]"] if one.pins else []
        lines += [""]
    path = (config_dir or default_config_dir()) / PROFILES_FILE
    write_private_file(path, "\n".join(lines))
    return path


def _quoted(text: str) -> str:
    # A JSON string in ASCII is a TOML basic string, but for surrogate pairs: neither an address nor a token has any.
    return json.dumps(text)


def _from_profile(profiles: Profiles, name: str, config_dir: Path, token: str | None) -> Credential:
    one = profiles.profiles.get(name)
    if one is None:
        raise _no_profile(profiles, name, config_dir)
    return _credential(one, name, token)


def _no_profile(profiles: Profiles, name: str, config_dir: Path) -> NotFoundError:
    known = ", ".join(sorted(profiles.profiles)) or "none"
    return NotFoundError(
        f"There is no profile '{name}' in {config_dir / PROFILES_FILE}.",
        hint=f"Known: {known}.",
        code="profile_not_found",
    )


def _known(url: str, config_dir: Path, data_dir: Path | None) -> Credential:
    for name, one in read_profiles(config_dir).profiles.items():
        if one.url.rstrip("/") == url and (one.token or one.user):
            return _credential(one, name, None)
    local = read_credential((data_dir or default_data_dir()) / OWNER_FILE)
    if local is not None and local.url.rstrip("/") == url:
        return local
    return Credential(url=url, token="")


def _credential(one: Profile, name: str, token: str | None) -> Credential:
    return Credential(
        url=check_url(one.url), token=token or one.token, profile=name, pins=one.pins, authority=one.authority
    )
