"""The laws of the house, read from the source: who may import whom, and what has one home.

Each law is a function from a module to its offences. Each is also fed an offender, to show that it can fail.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "worktree_sessions"
ROOT = Path(__file__).resolve().parent.parent
FLOORS = {"errors": 0, "outside": 1, "model": 2, "actions": 3, "views": 4, "cli": 5, "__main__": 6}
HEAVY = ("git", "rich", "filelock")

PRINTS = (
    r"print|rich\.print|rich\.console\.Console|click\.s?echo\w*|"
    r"sys\.(__)?std(out|err)(__)?(\.(?!isatty$|fileno$).*)?"  # to ask whether it is a terminal is no printing
)
ASKS = r"input|click\.(prompt|confirm|getchar|pause|edit)|getpass\.\w+"
EXITS = r"sys\.exit|os\._exit|os\.abort|exit|quit|SystemExit"
SPAWNS = (
    r"(subprocess|pty|multiprocessing)(\..*)?|asyncio\.create_subprocess_\w+|"
    r"os\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawnp?)"
)
ENVIRONMENT = r"os\.(environb?|getenvb?|putenv|unsetenv)(\..*)?"
BY_NAME = r"importlib\.import_module|__import__|runpy\.\w+"


class Module(NamedTuple):
    """A module of the package, or a made-up one."""

    name: str
    source: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def home(self) -> str:
        """The part of the house: errors, outside, ..., __main__; empty for the package itself."""
        return self.name.removeprefix(PACKAGE).lstrip(".").partition(".")[0]


@cache
def house() -> tuple[Module, ...]:
    """Return every module of the package."""
    found = []
    for file in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, file.read_text()))
    return tuple(found)


def imports(module: Module, known: frozenset[str]) -> Iterator[str]:
    """Yield what a module imports, anywhere in it: modules in full, `from package import module` too."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in known else origin


def uses(module: Module) -> Iterator[str]:
    """Yield every dotted name a module reads, with its own aliases resolved: `o.environ` -> `os.environ`."""
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            aliases.update({a.asname or a.name.partition(".")[0]: a.name for a in node.names if a.asname})
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            aliases.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
    tree = module.tree
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            head, _, rest = ast.unparse(node).partition(".")
            yield aliases.get(head, head) + (f".{rest}" if rest else "")


def at_module_level(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from at_module_level(child)


# -- the laws: each returns the offences of one module -----------------------------------------------


def points_down(module: Module) -> list[str]:
    """Imports point down the floors, or stay on one."""
    known = frozenset(m.name for m in house())
    here = FLOORS.get(module.home, 0)
    ours = (name for name in imports(module, known) if name.partition(".")[0] == PACKAGE)
    return [name for name in ours if FLOORS.get(Module(name, "").home, 0) > here]


def imports_absolutely(module: Module) -> list[str]:
    """A relative import, or one by name, hides from these laws; only the command table imports by name."""
    relative = [name for name in imports(module, frozenset()) if name.startswith(".")]
    by_name = [] if module.home in ("cli", "__main__") else found(BY_NAME, module)
    return relative + by_name


def errors_stand_alone(module: Module) -> list[str]:
    """errors.py is beneath all: it imports nothing of the package."""
    if module.home != "errors":
        return []
    return [name for name in imports(module, frozenset()) if name.startswith((PACKAGE, "."))]


def outside_knows_no_session(module: Module) -> list[str]:
    """The ground floor never mentions a floor above it, not even in a string."""
    if module.home != "outside":
        return []
    return re.findall(rf"\b{PACKAGE}[./](?:model|actions|views|cli)\b", module.source)


def heavy_imports_wait(module: Module) -> list[str]:
    """GitPython, rich and filelock are imported by the function that needs them."""
    loaded = []
    for node in at_module_level(module.tree):
        if isinstance(node, ast.Import):
            loaded += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            loaded.append(node.module or "")
    return [name for name in loaded if name.partition(".")[0] in HEAVY]


def gitpython_has_one_room(module: Module) -> list[str]:
    """GitPython is read in outside/history.py alone."""
    return only_in("outside.history", r"git(\..*)?", module, names=imports(module, frozenset()))


def one_spawner(module: Module) -> list[str]:
    """Processes are started in outside/processes.py alone."""
    return only_in("outside.processes", SPAWNS, module)


def one_environment(module: Module) -> list[str]:
    """The environment is read and written in outside/environment.py alone."""
    return only_in("outside.environment", ENVIRONMENT, module)


def one_printer(module: Module) -> list[str]:
    """Only the views write on stdout and stderr."""
    return [] if module.home == "views" else found(PRINTS, module)


def actions_never_ask(module: Module) -> list[str]:
    """Only what can be typed, and what can be seen, may ask a question."""
    return [] if module.home in ("cli", "views") else found(ASKS, module)


def one_exit(module: Module) -> list[str]:
    """Only the front door ends the process."""
    return [] if module.home == "__main__" else found(EXITS, module)


LAWS: list[Callable[[Module], list[str]]] = [
    points_down,
    imports_absolutely,
    errors_stand_alone,
    outside_knows_no_session,
    heavy_imports_wait,
    gitpython_has_one_room,
    one_spawner,
    one_environment,
    one_printer,
    actions_never_ask,
    one_exit,
]


def found(pattern: str, module: Module, names: Iterator[str] | None = None) -> list[str]:
    return sorted({name for name in (names or uses(module)) if re.fullmatch(pattern, name)})


def only_in(home: str, pattern: str, module: Module, names: Iterator[str] | None = None) -> list[str]:
    return [] if module.name == f"{PACKAGE}.{home}" else found(pattern, module, names)


def cycles(graph: Mapping[str, AbstractSet[str]]) -> list[list[str]]:
    """Return the cycles that a walk over the import graph runs into."""
    found_cycles: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found_cycles.append([*path[path.index(name) :], name])
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, [*path, name])
            done.add(name)

    for name in sorted(graph):
        visit(name, [])
    return found_cycles


# -- the house keeps them -----------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_house_keeps(law: Callable[[Module], list[str]]) -> None:
    """No module of the package offends against this law."""
    offences = {module.name: law(module) for module in house()}
    assert {name: found for name, found in offences.items() if found} == {}


def test_imports_have_no_cycles() -> None:
    """No two modules import each other, be it inside a function or for types only."""
    known = frozenset(module.name for module in house())
    graph = {module.name: known & set(imports(module, known)) for module in house()}
    assert cycles(graph) == []


def test_the_house_is_read_whole() -> None:
    """Every module is on a floor, so that no law is kept by looking away."""
    names = {module.name for module in house()}
    assert {f"{PACKAGE}.errors", f"{PACKAGE}.outside.git", f"{PACKAGE}.model.store"} <= names
    assert {module.home for module in house()} <= {"", *FLOORS}


def test_hooks_need_nothing_but_the_standard_library() -> None:
    """A hook survives an upgrade, or the removal, of wts: it imports the standard library alone."""
    for file in (ROOT / "hooks").rglob("*.py"):
        beside = {other.stem for other in file.parent.glob("*.py")}
        tops = {name.partition(".")[0] for name in imports(Module("hook", file.read_text()), frozenset())}
        assert tops <= sys.stdlib_module_names | beside, file


# -- and can be broken --------------------------------------------------------------------------------

OFFENDERS = [
    (points_down, "outside.git", "from worktree_sessions.model import session"),
    (points_down, "outside.git", "from worktree_sessions import model"),
    (points_down, "model.store", "import worktree_sessions.actions.risk"),
    (points_down, "model.store", "def f():\n    from worktree_sessions.cli import x"),
    (points_down, "actions.new", "if TYPE_CHECKING:\n    from worktree_sessions.views import tables"),
    (points_down, "views.tables", "from worktree_sessions import cli"),
    (points_down, "cli.morning", "from worktree_sessions.__main__ import run"),
    (imports_absolutely, "cli.morning", "from . import midday"),
    (imports_absolutely, "model.store", "import importlib\nimportlib.import_module('worktree_sessions.cli')"),
    (imports_absolutely, "model.store", "from importlib import import_module as load\nload('x')"),
    (errors_stand_alone, "errors", "from worktree_sessions.outside import git"),
    (errors_stand_alone, "errors", "def f():\n    from worktree_sessions import __version__"),
    (outside_knows_no_session, "outside.git", "NAME = 'worktree_sessions.model.session'"),
    (heavy_imports_wait, "outside.locks", "from filelock import FileLock"),
    (heavy_imports_wait, "views.tables", "try:\n    import rich.table\nexcept ImportError:\n    pass"),
    (heavy_imports_wait, "outside.history", "class A:\n    from git import Repo"),
    (gitpython_has_one_room, "actions.plan", "def f():\n    from git import Repo"),
    (gitpython_has_one_room, "outside.git", "import git.objects as objects"),
    (one_spawner, "actions.new", "import subprocess"),
    (one_spawner, "actions.new", "def f():\n    from subprocess import run"),
    (one_spawner, "outside.git", "import os as o\no.system('ls')"),
    (one_spawner, "outside.git", "from os import execvp\nexecvp('a', [])"),
    (one_spawner, "outside.git", "import os\nos.posix_spawn('a', [], {})"),
    (one_spawner, "outside.terminal", "import pty\npty.fork()"),
    (one_environment, "outside.git", "import os\nx = os.environ['HOME']"),
    (one_environment, "outside.processes", "from os import environ as e\ne.get('HOME')"),
    (one_environment, "cli.morning", "import os\nos.getenv('HOME')"),
    (one_printer, "cli.morning", "print('hello')"),
    (one_printer, "cli.morning", "import click\nclick.echo('hello')"),
    (one_printer, "cli.morning", "from click import secho\nsecho('hello')"),
    (one_printer, "actions.new", "import sys\nsys.stderr.write('hello')"),
    (one_printer, "actions.new", "import sys\nscreen = sys.stdout"),
    (one_printer, "actions.new", "from sys import stdout"),
    (one_printer, "__main__", "def f():\n    from rich.console import Console\n    Console().print('hello')"),
    (actions_never_ask, "actions.close", "import click\nclick.confirm('really?')"),
    (actions_never_ask, "model.store", "input()"),
    (one_exit, "cli.morning", "import sys\nsys.exit(1)"),
    (one_exit, "actions.new", "raise SystemExit(3)"),
    (one_exit, "outside.git", "from os import _exit\n_exit(0)"),
]


@pytest.mark.parametrize(("law", "name", "source"), OFFENDERS)
def test_an_offender_is_found(law: Callable[[Module], list[str]], name: str, source: str) -> None:
    """Each law fails on a module that breaks it."""
    assert law(Module(f"{PACKAGE}.{name}", source)) != []


@pytest.mark.parametrize(
    ("law", "name", "source"),
    [
        (points_down, "cli.morning", "from worktree_sessions.outside import git"),
        (points_down, "model.store", "from worktree_sessions.model import session"),
        (heavy_imports_wait, "outside.locks", "def f():\n    from filelock import FileLock"),
        (heavy_imports_wait, "outside.git", "from worktree_sessions.outside import git"),
        (heavy_imports_wait, "views.tables", "if TYPE_CHECKING:\n    from rich.table import Table"),
        (gitpython_has_one_room, "outside.history", "def f():\n    from git import Repo"),
        (gitpython_has_one_room, "actions.plan", "from worktree_sessions.outside import git"),
        (one_spawner, "outside.processes", "import subprocess"),
        (one_spawner, "outside.git", "import os\nos.kill(1, 0)\nself.run('x')"),
        (one_environment, "outside.environment", "import os\nos.environ"),
        (one_environment, "outside.git", "from worktree_sessions.outside import environment"),
        (one_printer, "views.tables", "print('hello')"),
        (one_printer, "actions.new", "self.print('hello')"),
        (one_printer, "outside.terminal", "import sys\nsys.stdout.isatty()"),
        (one_exit, "__main__", "import sys\nsys.exit(0)"),
    ],
)
def test_an_honest_module_is_left_alone(law: Callable[[Module], list[str]], name: str, source: str) -> None:
    """No law cries out at a module that keeps it."""
    assert law(Module(f"{PACKAGE}.{name}", source)) == []


def test_a_cycle_is_found() -> None:
    """Three modules that import each other in a ring are named in order."""
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c", "a"]]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
