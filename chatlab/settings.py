"""What chatlab is configured to talk to and where it writes: found, checked, and said where it came from.

A value is taken from the first of: an explicit argument, the environment, a `.env` file, the default. An
empty variable counts as set to nothing, so it hides the `.env`. The `.env` is only read, never put into
the environment.

    AI_GATEWAY_URL      base URL of an OpenAI-compatible gateway; `simulator` asks for the built-in one
    AI_API_KEY          its key; OPENROUTER_API_KEY is taken instead where the gateway is OpenRouter
    AI_DEFAULT_MODEL    the model of calls and tools that name none
    CHATLAB_STORE       the store's file
    CHATLAB_USER, CHATLAB_GROUP   whom usage is recorded for
    CHATLAB_SIMULATOR_PACE        tokens per second of the simulator; 0 answers at once

A key alone means OpenRouter; neither URL nor key means the simulator. So does a URL of this machine with the
simulator's own key, which asks one that runs by itself. Simulated rows never share a file with paid ones:
they go to `data/simulator.duckdb`, or with a store named `lab.duckdb` to `lab.simulator.duckdb` beside it.

The project folder is the nearest folder with `tool_definitions/` in it, else the current one, so that
notebooks/ and a terminal at the top reach the same store. The search for it and for `.env` goes up to the
top of the git checkout or the home folder, and no further: above that, files are somebody else's.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from dotenv import dotenv_values

from chatlab.address import (
    OPENROUTER_KEY_START,
    OPENROUTER_URL,
    OfferedKey,
    choose_key,
    is_loopback,
    is_openrouter,
    split_url,
    url_problem,
)
from chatlab.errors import ConfigurationError, MissingModel
from chatlab.model_ids import SIMULATOR_MODEL, SIMULATOR_PREFIX, check_model_id
from chatlab.values.secret import Secret

SIMULATOR = "simulator"  # as a gateway: the built-in one; as a key: the one that simulators take
SIMULATOR_PACE = 60.0
TOOL_FOLDER = "tool_definitions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A configuration that fits together. `Settings.load` makes it and refuses what does not fit.

    `sources` says in words where each value came from, by field name, for people to read; a field that is
    not in it has its default. The key itself is in no text made from this.
    """

    gateway_url: str | None  # without a slash at its end; None: a simulator of our own
    api_key: Secret | None
    default_model: str | None
    store: Path
    tool_directory: Path
    simulated: bool
    user: str | None = None
    group: str | None = None
    simulator_pace: float = SIMULATOR_PACE  # tokens per second; 0: as fast as it can
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        *,
        store: str | Path | None = None,
        gateway: str | None = None,
        api_key: str | Secret | None = None,
        model: str | None = None,
        user: str | None = None,
        group: str | None = None,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> Self:
        """Find and check the configuration. `environ` stands for os.environ, `directory` for the current one.

        Raises MissingKey, KeyMismatch, ModelNameInvalid, or ConfigurationError for anything else; the
        message names the variable, where it was set, and what to do.
        """
        given = {"gateway": gateway, "model": model, "user": user, "group": group, "pace": None}
        given["store"] = None if store is None else str(store)
        key = Secret(api_key) if isinstance(api_key, str) else api_key
        places = _Places(given, key, os.environ if environ is None else environ, directory or Path.cwd())
        # Reports that print local variables must not find a key in this frame.
        environ = api_key = None
        return cls._settle(places)

    @classmethod
    def _settle(cls, places: _Places) -> Self:
        places.open()
        address = _address(places)
        model = _default_model(places, simulated=address.simulated)
        store = _store(places, simulated=address.simulated)
        user = places.find("user", "CHATLAB_USER")
        group = places.find("group", "CHATLAB_GROUP")
        found = {"default_model": model, "store": store, "user": user, "group": group}
        settings = cls(
            gateway_url=address.url,
            api_key=address.key,
            default_model=model.value if model else None,
            store=Path(store.value),
            tool_directory=places.project / TOOL_FOLDER,
            simulated=address.simulated,
            user=user.value if user else None,
            group=group.value if group else None,
            simulator_pace=_simulator_pace(places),
            sources=address.sources | {name: value.place for name, value in found.items() if value},
        )
        if model:
            settings.check_model(model.value, named_by=model.place)
        return settings

    @property
    def is_openrouter(self) -> bool:
        """Whether the gateway is OpenRouter itself."""
        return self.gateway_url is not None and is_openrouter(split_url(self.gateway_url))

    def check_model(self, model: str, *, named_by: str = "the call") -> None:
        """Raise ModelNameInvalid for an id that this gateway cannot have; others are left to the gateway."""
        check_model_id(model, named_by, openrouter=self.is_openrouter, simulated=self.simulated)

    def resolve_model(self, explicit: str | None = None, tool_model: str | None = None) -> str:
        """Return the model to ask: the explicit one, else the tool's, else the default.

        Raises MissingModel when nothing names one, ModelNameInvalid as `check_model` does.
        """
        named = ((explicit, "the call"), (tool_model, "the tool definition"))
        for model, named_by in named:
            if model is not None:
                self.check_model(model, named_by=named_by)
                return model
        if self.default_model is None:
            example = "openai/gpt-5-mini" if self.is_openrouter else "NAME"
            raise MissingModel(
                "no model was named: pass model=... (-m in the terminal), or set AI_DEFAULT_MODEL in the "
                f"environment or in .env, for example AI_DEFAULT_MODEL={example}"
            )
        return self.default_model


def _simulator_pace(places: _Places) -> float:
    found = places.find("pace", "CHATLAB_SIMULATOR_PACE")
    if found is None:
        return SIMULATOR_PACE
    try:
        pace = float(found.value)
    except ValueError:
        pace = -1.0
    if not 0 <= pace < float("inf"):
        raise ConfigurationError(
            f"{found.value!r} ({found.place}) is not a number of tokens per second, from 0 on"
        )
    return pace


@dataclass(frozen=True, slots=True)
class _Found:
    """A value, where it was found in words, and the folder that a relative path in it starts from."""

    value: str = field(repr=False)  # it may be a secret in the wrong variable
    place: str
    base: Path


class _Places:
    """The places where a value may be set, in order of weight. Its repr shows none of them."""

    def __init__(
        self, given: Mapping[str, str | None], key: Secret | None, environ: Mapping[str, str], directory: Path
    ) -> None:
        self._given = given
        self._key = key
        self._environ = environ
        self._file: Mapping[str, str | None] = {}
        self._file_path: Path | None = None
        self.directory = directory.resolve()
        self.project = self.directory

    def open(self) -> None:
        """Find the project folder and read the nearest `.env`."""
        folders = _own_folders(self.directory)
        self.project = next((folder for folder in folders if (folder / TOOL_FOLDER).is_dir()), folders[0])
        self._file_path = next((file for folder in folders if (file := folder / ".env").is_file()), None)
        if self._file_path is not None:
            self._file = _read_dotenv(self._file_path)

    def is_given(self, argument: str) -> bool:
        """Whether the caller named the value explicitly."""
        return bool((self._given[argument] or "").strip())

    def find(self, argument: str, variable: str) -> _Found | None:
        """Look a value up in all places; empty counts as not given."""
        if self.is_given(argument):
            return _Found((self._given[argument] or "").strip(), f"argument {argument}=", self.directory)
        in_file = variable not in self._environ
        value = self._text(variable)
        if not value:
            return None
        base = self._file_path.parent if in_file and self._file_path else self.project
        return _Found(value, self._named(variable), base)

    def key(self, *, for_openrouter: bool) -> OfferedKey | None:
        """Look the key up. OPENROUTER_API_KEY goes to nobody but OpenRouter."""
        if self._key is not None:
            return OfferedKey(Secret(_cleaned(self._key.reveal())), "argument api_key=", None)
        names = ("AI_API_KEY", "OPENROUTER_API_KEY") if for_openrouter else ("AI_API_KEY",)
        for name in names:
            secret = Secret(self._text(name))
            if secret.reveal():
                return OfferedKey(secret, self._named(name), self._home_of(name, secret))
        return None

    def _home_of(self, name: str, key: Secret) -> str | None:
        """The gateway that a key in this variable was set for: by the URL beside it, or by how it begins."""
        url = self._text("AI_GATEWAY_URL") if name in self._environ else self._file.get("AI_GATEWAY_URL")
        return url or (OPENROUTER_URL if key.reveal().startswith(OPENROUTER_KEY_START) else None)

    def _text(self, variable: str) -> str:
        values = self._environ if variable in self._environ else self._file
        return _cleaned(values.get(variable) or "")

    def _named(self, name: str) -> str:
        return f"{name} in the environment" if name in self._environ else f"{name} in {self._file_path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Address:
    """The gateway to talk to; no URL stands for a simulator of our own."""

    url: str | None = None
    key: Secret | None = None
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def simulated(self) -> bool:
        if self.url is None:
            return True
        on_this_machine = is_loopback(split_url(self.url).hostname or "")
        return on_this_machine and self.key == Secret(SIMULATOR)


def _address(places: _Places) -> _Address:
    url = places.find("gateway", "AI_GATEWAY_URL")
    if url is None:
        key = places.key(for_openrouter=True)
        if key is None:
            return _Address(sources={"gateway_url": "the default, as no AI_API_KEY is set"})
        url = _Found(OPENROUTER_URL, "the default gateway", places.project)
    elif url.value.lower() == SIMULATOR:
        return _Address(sources={"gateway_url": url.place})
    problem = url_problem(url.value, url.place)
    if problem:
        raise ConfigurationError(problem)
    parts = split_url(url.value)
    key = choose_key(places.key(for_openrouter=is_openrouter(parts)), parts, url.place)
    sources = {"gateway_url": url.place} | ({"api_key": key.place} if key else {})
    return _Address(url=parts.geturl(), key=key.secret if key else None, sources=sources)


def _default_model(places: _Places, *, simulated: bool) -> _Found | None:
    """Find the default model. A variable that names a real model waits for the day a key is set."""
    found = places.find("model", "AI_DEFAULT_MODEL")
    if not simulated or places.is_given("model"):
        return found
    if found is None:
        return _Found(SIMULATOR_MODEL, "the simulator's own default", places.project)
    if not found.value.startswith(SIMULATOR_PREFIX):
        place = f"the simulator's own default; it has no model of the name in {found.place}"
        return _Found(SIMULATOR_MODEL, place, places.project)
    return found


def _store(places: _Places, *, simulated: bool) -> _Found:
    """Find the store's file, as an absolute path; simulated and paid rows are kept in files of their own."""
    found = places.find("store", "CHATLAB_STORE")
    if found is None:
        name = "simulator.duckdb" if simulated else "chatlab.duckdb"
        return _Found(str(places.project / "data" / name), "the default", places.project)
    path = found.base / Path(found.value).expanduser()
    if path.is_dir():
        raise ConfigurationError(
            f"{found.place} names the folder {path}: give a file, like {path / 'lab.duckdb'}"
        )
    for_simulator = path.stem == SIMULATOR or path.stem.endswith("." + SIMULATOR)
    if for_simulator and not simulated:
        raise ConfigurationError(
            f"{found.place} names {path}, a store of simulated rows, but a gateway is configured: give "
            f"another file, or pass gateway={SIMULATOR!r} to go on with the simulator"
        )
    if simulated and not for_simulator:
        path = path.with_name(f"{path.stem}.{SIMULATOR}{path.suffix}")
    return _Found(str(path), found.place, found.base)


def _own_folders(directory: Path) -> list[Path]:
    """List the folder and its parents up to the checkout's top or the home folder, nearest first.

    Outside of both the list ends at the nearest folder with tool definitions, or at the folder itself.
    """
    home = _home_folder()
    folders: list[Path] = []
    for folder in (directory, *directory.parents):
        folders.append(folder)
        if folder == home or (folder / ".git").exists():
            return folders
    tops = (number for number, folder in enumerate(folders, 1) if (folder / TOOL_FOLDER).is_dir())
    return folders[: next(tops, 1)]


def _home_folder() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # no such user, as in some containers
        return None


def _read_dotenv(path: Path) -> Mapping[str, str | None]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:  # its text would quote the file
        raise ConfigurationError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    # No interpolation: keys may have a `$`, and the values must not depend on the process's variables.
    return dotenv_values(stream=io.StringIO(text), interpolate=False)


def _cleaned(text: str) -> str:
    """Strip what pasting leaves around a value: blanks, and one pair of quotes."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text
