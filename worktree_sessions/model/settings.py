"""What can be set, by whom, and what it is now.

One table drives parsing, `wts config`, the variables and docs/settings.md. Layers, the strongest first:
flags, `WTS_*` variables, the repository's `.wts.toml`, the user's file, defaults. A repository may propose,
but never choose what runs or who is told: `claude`, `notify.command` and `notify.webhook` are refused from it, its
commands wait for `wts trust`. `load` and `resolve` are pure; `load_settings` reads the files.
"""

from __future__ import annotations

import enum
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from worktree_sessions.errors import UsageError, WtsError
from worktree_sessions.outside import environment
from worktree_sessions.outside.git import Git, GitError

REPOSITORY_FILE = ".wts.toml"
LARGEST_FILE = 1 << 20

ROLES = {
    "dev": (
        "The work of this session is to build: make the change that was asked for, small and complete, in "
        "the style of the code around it, and run the project's tests and lints before calling it finished."
    ),
    "test": (
        "The work of this session is to test: state the promise, write the test that fails when it is "
        "broken, and see it fail once. Report a fault in the product with its failing test; leave the cure "
        "to its owner."
    ),
    "research": (
        "The work of this session is to find out: read, measure and compare, and write down what was found, "
        "with its sources, what is only assumed, and what it means. Leave the product's code as it is."
    ),
    "docs": (
        "The work of this session is to explain: write for the reader who has the problem, try every command "
        "and example before it is written down, and change code only where its own text is wrong."
    ),
    "git": (
        "The work of this session is the history: merge, split, reorder and describe commits. Keep a way "
        "back before anything is rewritten, lose no change, and leave other sessions' branches alone."
    ),
}

# The names of outside/notifiers.py, whose modules a settings table should not have to import; a test compares them.
CHANNELS = ("desktop", "tmux", "terminal", "bell")


class Layer(enum.StrEnum):
    """Who has set a value, the weakest first."""

    DEFAULT = "default"
    USER = "user"
    REPOSITORY = "repository"
    ENVIRONMENT = "environment"
    FLAG = "flag"


STRENGTH = tuple(Layer)


class Kind(enum.StrEnum):
    """The type of a setting, as it is called in messages and docs."""

    TEXT = "text"
    CHOICE = "choice"
    YES_NO = "true or false"
    SECONDS = "seconds"
    COMMAND = "command"
    COMMANDS = "list of commands"
    CHOICES = "list"


Value = str | bool | float | tuple[str, ...]


class Setting(NamedTuple):
    """One row of the table; `must` says in words what `check` (text only) demands.

    A secret (an address that may hold a token) is never shown whole.
    """

    key: str
    kind: Kind
    default: Value
    help: str
    allowed: tuple[str, ...] = ()
    check: re.Pattern[str] | None = None
    must: str = "text"
    is_secret: bool = False

    @property
    def field(self) -> str:
        """The attribute of Settings: setup.run -> setup_run."""
        return self.key.replace(".", "_")

    @property
    def variable(self) -> str:
        """The environment variable: setup.run -> WTS_SETUP_RUN."""
        return "WTS_" + self.field.upper()

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.kind is Kind.CHOICE:
            return "one of " + ", ".join(self.allowed)
        if self.kind is Kind.CHOICES:
            return "a list of " + ", ".join(self.allowed) + ", each once at most"
        return _EXPECTED.get(self.kind, self.must)


_EXPECTED = {
    Kind.YES_NO: "true or false",
    Kind.SECONDS: "a number of seconds, 0 or more",
    Kind.COMMAND: "a command text of printable characters, or empty",
    Kind.COMMANDS: "a list of command texts, none empty, of printable characters",
}

_ODD = r"\x00-\x1f\x7f-\x9f"
_BRANCH = rf"[^{_ODD} ~^:?*\[\\]"
_PREFIX = re.compile(rf"(?!.*(\.\.|@\{{|//|/\.|\.lock/))(?![-./]){_BRANCH}*")
_BRANCH_OR_NONE = re.compile(rf"(?!.*(\.\.|@\{{|//|/\.|\.lock/))(?![-./]){_BRANCH}*(?<![./])")
_DIRECTORY = re.compile(rf"(?!(?:.*/)?\.git(?:/|\Z))(?!~[^/])(?:[^{{}}{_ODD}]|\{{repo\}})+")
_PROGRAM = re.compile(rf"(?=/|[^/]*\Z)[^{_ODD}~-][^{_ODD}]*")
_PROSE = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*")
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
_HOURS_OR_NONE = re.compile(rf"(?!(.{{5}})-\1)(?:{_TIME}-{_TIME})?")
_ADDRESS_OR_NONE = re.compile(r"(?:https?://[!-~]+)?")

TABLE: tuple[Setting, ...] = (
    Setting(
        "branch_prefix",
        Kind.TEXT,
        "feature/",
        "What the branches of features and sessions begin with.",
        check=_PREFIX,
        must="the beginning of a branch name, such as feature/",
    ),
    Setting(
        "worktree_dir",
        Kind.TEXT,
        "../{repo}.worktrees",
        "Where worktrees are made, from the main worktree. `{repo}` is its name, `~` the home directory.",
        check=_DIRECTORY,
        must="a directory outside of .git, with no placeholder but {repo}",
    ),
    Setting(
        "default_branch",
        Kind.TEXT,
        "",
        "The branch that a new feature starts from. Empty: as the remote says, else the main worktree's.",
        check=_BRANCH_OR_NONE,
        must="a branch name, or empty",
    ),
    Setting(
        "claude",
        Kind.TEXT,
        "claude",
        "The program that is started in a session: a name on PATH, or an absolute path.",
        check=_PROGRAM,
        must="a program's name, or an absolute path",
    ),
    Setting(
        "start",
        Kind.CHOICE,
        "terminal",
        "Where Claude is started: this terminal, a tmux window, Claude's own background, or nowhere.",
        allowed=("terminal", "tmux", "background", "none"),
    ),
    Setting(
        "stop_check",
        Kind.YES_NO,
        default=True,
        help="Tell Claude once, when it stops with uncommitted work.",
    ),
    Setting(
        "lock_timeout",
        Kind.SECONDS,
        60.0,
        "How long a command waits for another wts that changes the same repository.",
    ),
    Setting(
        "setup.run",
        Kind.COMMANDS,
        (),
        "Commands that run in a new worktree, in order, until one fails.",
    ),
    Setting(
        "setup.timeout",
        Kind.SECONDS,
        600.0,
        "How long each of these commands may take; 0: as long as it likes.",
    ),
    Setting(
        "merge.test",
        Kind.COMMAND,
        "",
        "The command that tests what `wts merge-ready` brings together; empty: none.",
    ),
    Setting(
        "merge.strategy",
        Kind.CHOICE,
        "merge",
        "As what a session comes home: `merge` commit, `squash` commit, or copies of its commits (`rebase`).",
        allowed=("merge", "squash", "rebase"),
    ),
    Setting(
        "merge.test_timeout",
        Kind.SECONDS,
        1800.0,
        "How long that command may take; 0: as long as it likes.",
    ),
    *(
        Setting(
            f"roles.{role}",
            Kind.TEXT,
            focus,
            f"What Claude is told about its work in a session of the role {role}; empty: nothing.",
            check=_PROSE,
            must="text without control characters",
        )
        for role, focus in ROLES.items()
    ),
    Setting(
        "notify.channels",
        Kind.CHOICES,
        CHANNELS,
        "How you are told: the first of these that works. Empty: by none of them.",
        allowed=CHANNELS,
    ),
    Setting(
        "notify.command",
        Kind.TEXT,
        "",
        "A shell command that is run with each notification besides; empty: none.",
        check=_PROSE,
        must="text without control characters",
    ),
    Setting(
        "notify.webhook",
        Kind.TEXT,
        "",
        "An address that each notification is posted to besides, as JSON; empty: none.",
        check=_ADDRESS_OR_NONE,
        must="an address that begins with http:// or https://",
        is_secret=True,
    ),
    Setting(
        "notify.done_after",
        Kind.SECONDS,
        60.0,
        "A turn's end is told when the turn took longer than this.",
    ),
    Setting(
        "notify.repeat",
        Kind.SECONDS,
        900.0,
        "How often it is said again that a session still needs you; 0: never.",
    ),
    Setting(
        "notify.join",
        Kind.SECONDS,
        2.0,
        "What comes within this time is told at once.",
    ),
    Setting(
        "notify.quiet",
        Kind.TEXT,
        "",
        "Hours of the day in which nothing is told, such as 22:00-08:00; empty: none.",
        check=_HOURS_OR_NONE,
        must="two different times of the day, such as 22:00-08:00, or empty",
    ),
    Setting(
        "check_in.stuck_after",
        Kind.SECONDS,
        600.0,
        "A session that works counts as stuck when nothing was heard of it for so long.",
    ),
    Setting(
        "check_in.forgotten_after",
        Kind.SECONDS,
        1800.0,
        "A session counts as forgotten when nobody had to do with it for so long.",
    ),
)
BY_KEY = {setting.key: setting for setting in TABLE}
_TABLES = {setting.key.split(".")[0] for setting in TABLE if "." in setting.key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set now: an attribute for each row of the table, which a test compares."""

    branch_prefix: str
    worktree_dir: str
    default_branch: str
    claude: str
    start: str
    stop_check: bool
    lock_timeout: float
    setup_run: tuple[str, ...]
    setup_timeout: float
    merge_test: str
    merge_strategy: str
    merge_test_timeout: float
    roles_dev: str
    roles_test: str
    roles_research: str
    roles_docs: str
    roles_git: str
    notify_channels: tuple[str, ...]
    notify_command: str
    notify_webhook: str
    notify_done_after: float
    notify_repeat: float
    notify_join: float
    notify_quiet: str
    check_in_stuck_after: float
    check_in_forgotten_after: float

    def get(self, key: str) -> Value:
        """Return a value by its key in the table."""
        value: Value = getattr(self, BY_KEY[key].field)
        return value

    def focus(self, role: str | None) -> str | None:
        """Return what Claude is told in a session of this role, None when there is nothing to tell."""
        if role is None or role not in ROLES:
            return None
        return str(self.get(f"roles.{role}")) or None

    def worktree_root(self, main: Path) -> Path:
        """Return the directory of the worktrees; `main` is the main worktree, or the bare repository."""
        text = self.worktree_dir.replace("{repo}", repository_name(main))
        if text == "~" or text.startswith("~/"):
            text = str(environment.home()) + text[1:]
        return Path(os.path.normpath(main / text))


class Origin(NamedTuple):
    """Where a value came from: the layer, and in it the file, the variable or the flag."""

    layer: Layer
    where: str


Origins = Mapping[str, Origin]


class Loaded(NamedTuple):
    """The settings, and for each key where its value came from."""

    settings: Settings
    origins: Origins


class Source(NamedTuple):
    """The values of one layer by key; `where` is its file, if it is one."""

    layer: Layer
    where: str
    values: Mapping[str, object]


class File(NamedTuple):
    """A settings file that is there."""

    where: str
    content: bytes


def load_settings(main_top: Path | None, git: Git, flags: Mapping[str, object] | None = None) -> Loaded:
    """Read the user's and the repository's file and the variables; `main_top` is None in a bare repository.

    Nothing else is read: a `.wts.toml` that a session wrote in its own worktree has no say.
    """
    own = user_file()
    loaded = load(
        user=_read_file(own, str(own)),
        repository=_read_file(main_top / REPOSITORY_FILE, REPOSITORY_FILE) if main_top else _ask_blob(git),
        variables=environment.variables("WTS_"),
        flags=flags or {},
    )
    if main_top is not None:
        _refuse_link_away(loaded, main_top)
    return loaded


def user_file() -> Path:
    """Return the path of the user's own file, there or not."""
    return environment.user_directory("XDG_CONFIG_HOME", ".config") / "config.toml"


def load(
    *,
    user: File | None,
    repository: File | None,
    variables: Mapping[str, str],
    flags: Mapping[str, object],
) -> Loaded:
    """Lay the layers over each other. A flag of None was not given; an empty variable is an unset one."""
    sources = []
    if user is not None:
        sources.append(parse_file(user, Layer.USER))
    if repository is not None:
        sources.append(parse_file(repository, Layer.REPOSITORY))
    sources.append(parse_variables(variables))
    sources.append(Source(Layer.FLAG, "", {key: value for key, value in flags.items() if value is not None}))
    return resolve(sources)


def resolve(sources: Iterable[Source]) -> Loaded:
    """Check each value of each layer and let the strongest layer win, whatever the order of the arguments."""
    values: dict[str, Any] = {setting.key: setting.default for setting in TABLE}
    origins = {setting.key: Origin(Layer.DEFAULT, "default") for setting in TABLE}
    for source in sorted(sources, key=lambda s: STRENGTH.index(s.layer)):
        for key, given in source.values.items():
            values[key] = _checked(key, given, source)
            origins[key] = Origin(source.layer, _place(key, source))
    return Loaded(Settings(**{BY_KEY[key].field: value for key, value in values.items()}), origins)


def parse_file(file: File, layer: Layer) -> Source:
    """Parse a TOML file into dotted keys; raise UsageError when it is none."""
    import tomllib  # 5 ms, and only when there is a file

    try:
        document = tomllib.loads(file.content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError("bad-settings", f"{file.where} is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError("bad-settings", f"{file.where} is not TOML: {error}") from error
    except RecursionError as error:
        raise UsageError("bad-settings", f"{file.where} is nested too deeply") from error
    return Source(layer, file.where, _flat(document, file.where))


def parse_variables(variables: Mapping[str, str]) -> Source:
    """Return what `WTS_*` variables set.

    The variables of a session are none of them. Another unknown one may belong to somebody else and is left
    alone, unless it is so near to a setting that it must be meant for it.
    """
    keys = {setting.variable: setting.key for setting in TABLE}
    values: dict[str, object] = {}
    for name, text in sorted(variables.items()):
        if name in environment.SESSION_VARIABLES or not text:
            continue
        if name in keys:
            values[keys[name]] = text
        elif name.startswith("WTS_") and (near := _nearest(name, keys, likeness=0.85)):
            raise _unknown("the environment", name, near)
    return Source(Layer.ENVIRONMENT, "", values)


def repository_name(main: Path) -> str:
    """Return the name of a repository: app for /src/app, /srv/app.git and /src/app/.bare."""
    if main.name.startswith(".") and main.parent.name:
        main = main.parent
    return main.name.removesuffix(".git") or "repository"


class Description(NamedTuple):
    """A row of docs/settings.md and of `wts config --help`."""

    key: str
    values: str
    default: str
    variable: str
    help: str
    repository: str  # whether `.wts.toml` may set it


def describe() -> list[Description]:
    """Return the whole table in words."""
    return [
        Description(
            setting.key,
            _values(setting),
            in_toml(setting.default),
            setting.variable,
            setting.help,
            _REPOSITORY_MAY.get(setting.key, "yes"),
        )
        for setting in TABLE
    ]


def _values(setting: Setting) -> str:
    allowed = ", ".join(setting.allowed)
    return f"list of {allowed}" if setting.kind is Kind.CHOICES else allowed or setting.kind.value


# What a repository must never choose, and why.
_REFUSED = {
    "claude": "the program that is started",
    "notify.command": "a command that runs unasked",
    "notify.webhook": "who is told",
}
_REPOSITORY_MAY = {
    **dict.fromkeys(_REFUSED, "no"),
    **dict.fromkeys(("setup.run", "merge.test"), "after `wts trust`"),
    "worktree_dir": "beside itself or inside",
}


def in_toml(value: Value) -> str:
    """Return a value as it is written in a settings file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(in_toml(text) for text in value) + "]"
    import json  # a JSON string is a TOML basic string, but for DEL, which no setting may hold

    return json.dumps(value, ensure_ascii=False)


def shown(setting: Setting, value: Value) -> Value:
    """Return a value as it may be shown: of a secret address only the host, since its path may be a token too."""
    if not setting.is_secret or not value:
        return value
    return re.sub(r"(https?://)(?:[^/?#]*@)?([^/?#]*).*", r"\1\2/...", str(value))


def _read_file(path: Path, where: str) -> File | None:
    try:
        # a tracked link to a device would never end
        if not path.is_file():
            if path.exists():
                raise WtsError("bad-settings", f"{where} is not a regular file")
            return None
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WtsError("bad-settings", f"{where} can't be read: {error.strerror}") from error
    return _of_sane_size(where, content)


def _ask_blob(git: Git) -> File | None:
    name = f"HEAD:{REPOSITORY_FILE}"
    found = git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", name)
    if found.status == 1:
        return None
    if found.status != 0:
        raise GitError(("rev-parse",), found.status, found.err)
    return _of_sane_size(name, git.run("cat-file", "blob", found.out.decode().strip()))


def _of_sane_size(where: str, content: bytes) -> File:
    if len(content) > LARGEST_FILE:
        raise WtsError("bad-settings", f"{where} is larger than a settings file can be")
    return File(where, content)


def _flat(document: Mapping[str, object], where: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in document.items():
        if name not in _TABLES:
            values[name] = value
        elif isinstance(value, dict):
            values.update({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            raise UsageError("bad-setting", f"{where}: {name} must be a table", hint=f"[{name}] in {where}")
    return values


def _checked(key: str, given: object, source: Source) -> Value:
    setting = BY_KEY.get(key)
    if setting is None:
        raise _unknown(_file(source), key, _nearest(key, BY_KEY, likeness=0.0))
    if source.layer in (Layer.ENVIRONMENT, Layer.FLAG) and isinstance(given, str):
        given = _from_text(setting, given)
    value = _typed(setting, given)
    if value is None:
        place = f"{source.where}: {key}" if source.where else _place(key, source)
        found = "" if setting.is_secret else f", not {_cut(repr(given))}"
        raise UsageError("bad-setting", f"{place} must be {setting.expected}{found}")
    if source.layer is Layer.REPOSITORY:
        _refuse_from_repository(setting, value, source.where)
    return value


def _cut(text: str) -> str:
    return text if len(text) < 60 else text[:56] + "..."


_YES_NO = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)


def _from_text(setting: Setting, text: str) -> object:
    if setting.kind is Kind.YES_NO:
        return _YES_NO.get(text.strip().lower(), text)
    if setting.kind is Kind.COMMANDS:
        return [line for line in text.split("\n") if line.strip()]
    if setting.kind is Kind.CHOICES:
        return text.replace(",", " ").split()
    if setting.kind is Kind.SECONDS:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _typed(setting: Setting, given: object) -> Value | None:
    """Return the value in the setting's own type, None when it is not one."""
    if setting.kind is Kind.YES_NO:
        return given if isinstance(given, bool) else None
    if setting.kind is Kind.SECONDS:
        return _seconds(given)
    if setting.kind is Kind.COMMAND:
        return given.strip() if isinstance(given, str) and _is_plain(given) else None
    if setting.kind is Kind.COMMANDS:
        return _commands(given)
    if setting.kind is Kind.CHOICES:
        return _choices(setting, given)
    if not isinstance(given, str) or (setting.allowed and given not in setting.allowed):
        return None
    return given if setting.check is None or setting.check.fullmatch(given) else None


def _seconds(given: object) -> float | None:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        seconds = float(given)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _is_plain(command: str) -> bool:
    """A command that is shown for approval must be what it looks like: nothing invisible, no escapes."""
    return all(character.isprintable() or character in "\n\t" for character in command)


def _commands(given: object) -> tuple[str, ...] | None:
    if not isinstance(given, list | tuple):
        return None
    for text in given:
        if not isinstance(text, str) or not text.strip() or not _is_plain(text):
            return None
    return tuple(given)


def _choices(setting: Setting, given: object) -> tuple[str, ...] | None:
    if not isinstance(given, list | tuple) or not all(one in setting.allowed for one in given):
        return None
    return tuple(given) if len(set(given)) == len(given) else None


def _refuse_from_repository(setting: Setting, value: Value, where: str) -> None:
    elsewhere = f"set it in {user_file()}, or for once: {setting.variable}=... wts"
    if setting.key in _REFUSED:
        raise UsageError(
            "refused-setting",
            f"{where} sets {setting.key}, and a repository must not choose {_REFUSED[setting.key]}",
            hint=elsewhere,
        )
    if setting.key == "worktree_dir" and not _stays_near(str(value)):
        raise UsageError(
            "refused-setting",
            f"{where} sets worktree_dir to {value}, which is further away than beside the repository",
            hint=elsewhere,
        )


def _refuse_link_away(loaded: Loaded, main_top: Path) -> None:
    """A tracked link may lead the repository's `worktree_dir` to anywhere; only the disk can tell."""
    origin = loaded.origins["worktree_dir"]
    if origin.layer is not Layer.REPOSITORY:
        return
    real = Path(os.path.realpath(loaded.settings.worktree_root(main_top)))
    if not real.is_relative_to(os.path.realpath(main_top.parent)):
        raise UsageError(
            "refused-setting",
            f"{origin.where} sets worktree_dir to a link that leads to {real}",
            hint=f"set it in {user_file()}, or for once: {BY_KEY['worktree_dir'].variable}=... wts",
        )


def _stays_near(directory: str) -> bool:
    parts = os.path.normpath(directory.replace("{repo}", "repo")).split("/")
    return parts[0] not in ("", "~") and parts[:2] != ["..", ".."] and parts != [".."]


def _unknown(file: str, key: str, near: str | None) -> UsageError:
    nearest = f"; the nearest is {near}" if near else ""
    message = f"{file} sets {key}, which is no setting{nearest}"
    return UsageError("unknown-setting", message, hint="wts config --help")


def _nearest(key: str, known: Iterable[str], *, likeness: float) -> str | None:
    import difflib  # only on the way to an error

    found = difflib.get_close_matches(key, list(known), n=1, cutoff=likeness)
    return found[0] if found else None


def _file(source: Source) -> str:
    return source.where or "the command line"


def _place(key: str, source: Source) -> str:
    if source.layer is Layer.ENVIRONMENT:
        return BY_KEY[key].variable
    if source.layer is Layer.FLAG:
        return "--" + key.replace("_", "-")
    return source.where
