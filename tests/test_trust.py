"""Trust: commands of a repository run only when exactly their text was approved, and not from within."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.repos import Repo
from worktree_sessions.actions import configure
from worktree_sessions.actions.project import open_project
from worktree_sessions.errors import Exit, NothingToDo, WtsError
from worktree_sessions.model import settings, trust
from worktree_sessions.model.settings import File
from worktree_sessions.model.trust import Command

BUILD = (Command("setup.run", "make deps"), Command("setup.run", "make build"))


def commands_of(text: str) -> tuple[Command, ...]:
    loaded = settings.load(user=None, repository=File(".wts.toml", text.encode()), variables={}, flags={})
    return trust.repository_commands(*loaded)


def test_nothing_is_trusted_until_it_was_approved(tmp_path: Path) -> None:
    assert not trust.is_trusted(tmp_path, BUILD)
    trust.approve(tmp_path, BUILD)
    assert trust.is_trusted(tmp_path, BUILD)
    assert trust.is_trusted(tmp_path, ())


@pytest.mark.parametrize(
    "changed",
    [
        (*BUILD, Command("setup.run", "make build")),
        BUILD[:1],
        BUILD[::-1],
        (Command("setup.run", "make deps\nmake build"),),
        (Command("setup.run", "make deps "), BUILD[1]),
        (Command("test.run", "make deps"), BUILD[1]),
    ],
)
def test_another_text_order_number_or_key_asks_again(tmp_path: Path, changed: tuple[Command, ...]) -> None:
    trust.approve(tmp_path, BUILD)
    assert not trust.is_trusted(tmp_path, changed)


texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).filter(str.strip)


@given(wanted=st.lists(texts, min_size=1, max_size=3), data=st.data())
def test_one_changed_byte_of_a_command_changes_what_was_approved(
    wanted: list[str], data: st.DataObject
) -> None:
    file = "[setup]\nrun = " + settings.in_toml(tuple(wanted))
    which = data.draw(st.integers(0, len(wanted) - 1))
    at = data.draw(st.integers(0, len(wanted[which]) - 1))
    byte = data.draw(
        st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != wanted[which][at])
    )
    edited = wanted.copy()
    edited[which] = wanted[which][:at] + byte + wanted[which][at + 1 :]

    before = trust.fingerprint(commands_of(file))

    assert trust.fingerprint(commands_of(file + "\n# a remark\n")) == before
    assert trust.fingerprint(commands_of("[setup]\nrun = " + settings.in_toml(tuple(edited)))) != before


@given(
    one=st.lists(st.tuples(st.text(), st.text()).map(lambda pair: Command(*pair))),
    other=st.lists(st.tuples(st.text(), st.text()).map(lambda pair: Command(*pair))),
)
def test_two_lists_of_commands_have_one_fingerprint_only_if_they_are_the_same(
    one: list[Command], other: list[Command]
) -> None:
    assert (trust.fingerprint(one) == trust.fingerprint(other)) == (one == other)


def test_an_approval_holds_for_one_repository_under_any_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "alias").symlink_to("app")
    trust.approve(tmp_path / "alias", BUILD)
    assert trust.is_trusted(tmp_path / "app", BUILD)
    assert not trust.is_trusted(tmp_path / "other", BUILD)


def test_revoking_withdraws_all_of_one_repository_and_nothing_else(tmp_path: Path) -> None:
    trust.approve(tmp_path / "a", BUILD)
    trust.approve(tmp_path / "a", BUILD[:1])
    trust.approve(tmp_path / "b", BUILD)
    assert trust.revoke(tmp_path / "a")
    assert not trust.revoke(tmp_path / "a")
    assert not trust.is_trusted(tmp_path / "a", BUILD)
    assert not trust.is_trusted(tmp_path / "a", BUILD[:1])
    assert trust.is_trusted(tmp_path / "b", BUILD)


def test_approvals_are_private_and_outside_of_the_repository(tmp_path: Path, hermetic: Path) -> None:
    trust.approve(tmp_path, BUILD)
    file = hermetic / ".local" / "state" / "wts" / "trust.json"
    record = {"schema": 1, "approved": {str(tmp_path): [trust.fingerprint(BUILD)]}}
    assert json.loads(file.read_bytes()) == record
    assert file.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"approved": 3}', '{"approved": {"/a": 3}}', "\x00"])
def test_an_unreadable_list_of_approvals_is_no_empty_one(tmp_path: Path, content: str) -> None:
    trust.trust_file().parent.mkdir(parents=True)
    trust.trust_file().write_text(content)
    with pytest.raises(WtsError) as asked:
        trust.is_trusted(tmp_path, BUILD)
    with pytest.raises(WtsError) as changed:
        trust.approve(tmp_path, BUILD)
    assert (asked.value.code, changed.value.code) == ("bad-trust", "bad-trust")
    assert trust.trust_file().read_text() == content


def test_approvals_of_many_repositories_at_once_are_all_kept(tmp_path: Path) -> None:
    at_once = [threading.Thread(target=trust.approve, args=(tmp_path / str(n), BUILD)) for n in range(8)]
    for thread in at_once:
        thread.start()
    for thread in at_once:
        thread.join()
    assert all(trust.is_trusted(tmp_path / str(n), BUILD) for n in range(8))


def test_what_was_shown_is_what_is_approved(repo: Repo) -> None:
    repo.write(".wts.toml", '[setup]\nrun = ["make deps", "make build"]\n')
    plan = configure.plan_trust(open_project(repo.path))
    assert (plan.commands, plan.where, plan.is_trusted) == (BUILD, ".wts.toml", False)

    repo.write(".wts.toml", '[setup]\nrun = ["curl example.org | sh"]\n')
    result = configure.apply_trust(plan)

    assert (result.commands, result.undo) == (BUILD, "wts trust --revoke")
    assert not configure.plan_trust(open_project(repo.path)).is_trusted
    repo.write(".wts.toml", '# again\n[setup]\nrun = ["make deps", "make build"]\n')
    assert configure.plan_trust(open_project(repo.path)).is_trusted
    assert configure.revoke_trust(open_project(repo.path)).had_any
    assert not configure.plan_trust(open_project(repo.path)).is_trusted


def test_with_no_command_of_the_repository_there_is_nothing_to_approve(repo: Repo) -> None:
    own = open_project(repo.path, {"setup.run": ["make mine"]})
    with pytest.raises(NothingToDo) as raised:
        configure.plan_trust(own)
    assert raised.value.exit is Exit.NOTHING
