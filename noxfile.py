"""What a contributor runs: `nox` for everything a change must pass, `nox -s NAME` for one of it."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "uv|virtualenv"

PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests: `nox -s tests-3.11 -- -k close`."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", "-n", "2", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: the rules, and the format."""
    session.install("ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy, strict, tests and hooks too."""
    session.install("--editable", ".[dev]")
    session.run("mypy")


@nox.session
def coverage(session: nox.Session) -> None:
    """The tests with every branch counted, child processes too; the report is `.coverage-html/`."""
    session.install("--editable", ".[dev]")
    session.run(
        "python",
        "-m",
        "pytest",
        "-n",
        "2",
        "--cov",
        "--cov-report=term",
        "--cov-report=html:.coverage-html",
        *session.posargs,
    )


@nox.session
def docs(session: nox.Session) -> None:
    """Every console block of the README and docs/, run as a test."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", "-k", "docs or readme", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """The budgets of docs/performance.md, measured here; `nox -s bench -- --write` renews the table."""
    session.install(".")
    session.run("python", "-m", "benchmarks.bench", *session.posargs)


@nox.session
def midday(session: nox.Session) -> None:
    """Midday's tables of docs/performance.md, beside plain git and a rival; `nox -s midday -- --write` renews them."""
    session.install(".")
    session.run("python", "-m", "benchmarks.midday", *session.posargs)
