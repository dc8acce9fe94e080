"""Settings: who may set what, which layer wins, and how a mistake is told."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import generate_docs
from tests.support.repos import Repo
from worktree_sessions.actions.configure import show_config
from worktree_sessions.actions.project import open_project
from worktree_sessions.errors import Exit, WtsError
from worktree_sessions.model import settings
from worktree_sessions.model.settings import File, Kind, Layer, Loaded, Setting, Source
from worktree_sessions.outside import environment, notifiers
from worktree_sessions.outside.git import Git


def load(
    repository: str = "",
    *,
    user: str = "",
    variables: dict[str, str] | None = None,
    flags: dict[str, Any] | None = None,
) -> Loaded:
    return settings.load(
        user=File("config.toml", user.encode()) if user else None,
        repository=File(".wts.toml", repository.encode()) if repository else None,
        variables=variables or {},
        flags=flags or {},
    )


def refusal(repository: str = "", **layers: Any) -> WtsError:
    with pytest.raises(WtsError) as raised:
        load(repository, **layers)
    assert raised.value.exit is Exit.USAGE
    return raised.value


def test_the_attributes_of_settings_are_the_rows_of_the_table() -> None:
    assert [field.name for field in dataclasses.fields(settings.Settings)] == [
        row.field for row in settings.TABLE
    ]


def test_every_default_is_a_value_that_could_have_been_set() -> None:
    values = {row.key: row.default for row in settings.TABLE}
    assert settings.resolve([Source(Layer.USER, "config.toml", values)]).settings == load().settings


def values_for(row: Setting) -> st.SearchStrategy[Any]:
    if row.kind is Kind.CHOICE:
        return st.sampled_from(row.allowed)
    if row.kind is Kind.YES_NO:
        return st.booleans()
    if row.kind is Kind.SECONDS:
        return st.floats(min_value=0, max_value=1e6)
    if row.kind is Kind.CHOICES:
        return st.lists(st.sampled_from(row.allowed), unique=True).map(tuple)
    if row.key in EXAMPLES:
        return st.sampled_from(EXAMPLES[row.key])
    words = st.text("abcxyz", min_size=1)
    return st.lists(words).map(tuple) if row.kind is Kind.COMMANDS else words


EXAMPLES = {
    "notify.quiet": ("", "22:00-08:00", "12:30-13:15"),
    "notify.webhook": ("", "http://localhost:8080/hook", "https://example.org/a?token=b"),
}
USERS_OWN = ("claude", "notify.command", "notify.webhook")


@given(data=st.data())
def test_the_strongest_layer_that_has_a_key_wins_whatever_the_order(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(settings.TABLE))
    possible = [layer for layer in Layer if layer is not Layer.DEFAULT]
    if row.key in USERS_OWN:
        possible.remove(Layer.REPOSITORY)
    layers = data.draw(st.lists(st.sampled_from(possible), unique=True))
    chosen: dict[Layer, Any] = {layer: data.draw(values_for(row)) for layer in layers}

    loaded = settings.resolve([Source(layer, "file", {row.key: value}) for layer, value in chosen.items()])

    by_strength = (Layer.FLAG, Layer.ENVIRONMENT, Layer.REPOSITORY, Layer.USER)
    winner = next((layer for layer in by_strength if layer in chosen), Layer.DEFAULT)
    assert loaded.settings.get(row.key) == chosen.get(winner, row.default)
    assert loaded.origins[row.key].layer is winner
    others = {key: origin.layer for key, origin in loaded.origins.items() if key != row.key}
    assert set(others.values()) == {Layer.DEFAULT}


@given(data=st.data())
def test_what_a_setting_is_written_as_is_read_back(data: st.DataObject) -> None:
    row = data.draw(st.sampled_from(settings.TABLE))
    value = data.draw(values_for(row))
    value = round(value) if isinstance(value, float) else value
    table, _, key = row.key.rpartition(".")
    text = f"[{table}]\n{key} = " if table else f"{key} = "
    assert load(user=text + settings.in_toml(value)).settings.get(row.key) == value


@given(content=st.binary())
def test_a_file_of_any_bytes_is_read_or_refused_and_never_breaks(content: bytes) -> None:
    with contextlib.suppress(WtsError):
        settings.load(user=None, repository=File(".wts.toml", content), variables={}, flags={})


def test_each_layer_is_named_as_the_origin() -> None:
    loaded = load(
        '[setup]\nrun = ["make"]',
        user='claude = "claude-next"',
        variables={"WTS_START": "tmux"},
        flags={"lock_timeout": "5", "start": None},
    )
    assert loaded.settings.setup_run == ("make",)
    assert loaded.settings.lock_timeout == 5
    changed = {key: origin for key, origin in loaded.origins.items() if origin.layer is not Layer.DEFAULT}
    assert changed == {
        "setup.run": (Layer.REPOSITORY, ".wts.toml"),
        "claude": (Layer.USER, "config.toml"),
        "start": (Layer.ENVIRONMENT, "WTS_START"),
        "lock_timeout": (Layer.FLAG, "--lock-timeout"),
    }


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            "strat = 'tmux'",
            "unknown-setting",
            ".wts.toml sets strat, which is no setting; the nearest is start",
        ),
        (
            "[setup]\nrunn = []",
            "unknown-setting",
            ".wts.toml sets setup.runn, which is no setting; the nearest is setup.run",
        ),
        ("stop_check = 1", "bad-setting", ".wts.toml: stop_check must be true or false, not 1"),
        (
            "start = 'vim'",
            "bad-setting",
            ".wts.toml: start must be one of terminal, tmux, background, none, not 'vim'",
        ),
        (
            "lock_timeout = true",
            "bad-setting",
            ".wts.toml: lock_timeout must be a number of seconds, 0 or more, not True",
        ),
        (
            "lock_timeout = nan",
            "bad-setting",
            ".wts.toml: lock_timeout must be a number of seconds, 0 or more, not nan",
        ),
        (
            "lock_timeout = inf",
            "bad-setting",
            ".wts.toml: lock_timeout must be a number of seconds, 0 or more, not inf",
        ),
        ("setup = 3", "bad-setting", ".wts.toml: setup must be a table"),
        (
            "claude = 'mine'",
            "refused-setting",
            ".wts.toml sets claude, and a repository must not choose the program that is started",
        ),
        (
            "[notify]\ncommand = 'curl evil.example'",
            "refused-setting",
            ".wts.toml sets notify.command, and a repository must not choose a command that runs unasked",
        ),
        (
            "[notify]\nwebhook = 'https://evil.example/'",
            "refused-setting",
            ".wts.toml sets notify.webhook, and a repository must not choose who is told",
        ),
        (
            "[notify]\nchannels = ['pip']",
            "bad-setting",
            (
                ".wts.toml: notify.channels must be a list of desktop, tmux, terminal, bell, each once at most, "
                "not ['pip']"
            ),
        ),
    ],
)
def test_a_mistake_names_file_key_and_cure(text: str, code: str, message: str) -> None:
    error = refusal(text)
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize("text", ["[", 'start = "tmux', "start", "start = 1\nstart = 2"])
def test_what_is_not_toml_is_said_with_the_place(text: str) -> None:
    error = refusal(text)
    assert error.code == "bad-settings"
    assert error.message.startswith(".wts.toml is not TOML: ")
    assert "line" in error.message or "end of document" in error.message


@pytest.mark.parametrize(
    "command", ["", "  ", "make\x1b[2K", "make\r", "make\u202e", "make\u200b", "make\x00"]
)
def test_a_command_that_hides_something_is_refused(command: str) -> None:
    error = refusal(f"[setup]\nrun = [{json.dumps(command)}]")
    assert error.code == "bad-setting"
    assert "\x1b" not in error.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("branch_prefix", "-x/"),
        ("branch_prefix", "a b/"),
        ("branch_prefix", "a..b/"),
        ("branch_prefix", "/a"),
        ("branch_prefix", "a//"),
        ("branch_prefix", "a.lock/"),
        ("branch_prefix", "a@{/"),
        ("default_branch", "main/"),
        ("default_branch", "-d"),
        ("worktree_dir", ""),
        ("worktree_dir", "{home}/x"),
        ("worktree_dir", "../x\n"),
        ("worktree_dir", ".git/x"),
        ("worktree_dir", "a/.git"),
        ("worktree_dir", "~root/x"),
        ("claude", ""),
        ("claude", "./claude"),
        ("claude", "-x"),
        ("claude", "~/claude"),
        ("roles.dev", "a\x1b[31mb"),
        ("notify.channels", "bell, bell"),
        ("notify.channels", [["bell"]]),
        ("notify.quiet", "22:00"),
        ("notify.quiet", "22:00-24:00"),
        ("notify.quiet", "08:00-08:00"),
        ("notify.webhook", "ftp://example.org/"),
        ("notify.webhook", "https://example.org/ü"),
    ],
)
def test_odd_values_are_refused(key: str, value: object) -> None:
    assert refusal(flags={key: value}).code == "bad-setting"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("branch_prefix", ""),
        ("branch_prefix", "überall/wts-"),
        ("default_branch", "release/2.x"),
        ("worktree_dir", "/srv/{repo}/trees"),
        ("worktree_dir", "~/trees"),
        ("claude", "/opt/my tools/claude"),
        ("roles.dev", "Zwei Zeilen\n\tund mehr"),
    ],
)
def test_sensible_values_are_taken(key: str, value: str) -> None:
    assert load(flags={key: value}).settings.get(key) == value


@pytest.mark.parametrize("place", ["~/x", "/srv/x", "../../x", "../a/../../x", "..", "{repo}/../../../x"])
def test_a_repository_may_not_send_worktrees_far_away(place: str) -> None:
    text = f'worktree_dir = "{place}"'
    assert refusal(text).code == "refused-setting"
    assert load(user=text).settings.worktree_dir == place


@pytest.mark.parametrize("place", ["../trees", ".trees", "trees/{repo}", "../{repo}.w/x"])
def test_a_repository_may_keep_worktrees_beside_itself(place: str) -> None:
    assert load(f'worktree_dir = "{place}"').settings.worktree_dir == place


@pytest.mark.parametrize(
    ("main", "template", "root"),
    [
        ("/src/app", "../{repo}.worktrees", "/src/app.worktrees"),
        ("/srv/app.git", "../{repo}.worktrees", "/srv/app.worktrees"),
        ("/src/app/.bare", "../{repo}.worktrees", "/src/app/app.worktrees"),
        ("/src/app", ".trees", "/src/app/.trees"),
        ("/src/app", "/tmp/{repo}/{repo}", "/tmp/app/app"),
    ],
)
def test_where_worktrees_are_made(main: str, template: str, root: str) -> None:
    assert load(flags={"worktree_dir": template}).settings.worktree_root(Path(main)) == Path(root)


def test_a_tilde_is_the_home_directory(hermetic: Path) -> None:
    loaded = load(flags={"worktree_dir": "~/trees"})
    assert loaded.settings.worktree_root(Path("/src/app")) == hermetic / "trees"


def test_variables_of_a_session_and_of_others_are_no_settings() -> None:
    foreign = {"WTS_LOG_FILE": "x", "WTS_START": "", **dict.fromkeys(environment.SESSION_VARIABLES, "x")}
    assert load(variables=foreign) == load()


def test_a_variable_that_is_nearly_a_setting_is_told() -> None:
    error = refusal(variables={"WTS_BRANCH_PREFX": "x/"})
    assert error.message == (
        "the environment sets WTS_BRANCH_PREFX, which is no setting; the nearest is WTS_BRANCH_PREFIX"
    )


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("0", False), ("Off", False), ("TRUE", True)])
def test_a_variable_is_text_and_understood(text: str, value: bool) -> None:
    assert load(variables={"WTS_STOP_CHECK": text}).settings.stop_check is value


def test_commands_in_a_variable_are_one_a_line() -> None:
    loaded = load(variables={"WTS_SETUP_RUN": "npm ci\n\nmake all\n"})
    assert loaded.settings.setup_run == ("npm ci", "make all")


@pytest.mark.parametrize("text", ["bell, tmux", "bell\ntmux", "bell tmux"])
def test_channels_in_a_variable_are_parted_by_commas_or_blanks(text: str) -> None:
    assert load(variables={"WTS_NOTIFY_CHANNELS": text}).settings.notify_channels == ("bell", "tmux")


def test_the_channels_of_the_table_are_those_that_there_are() -> None:
    assert settings.CHANNELS == notifiers.CHANNELS


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("", ""),
        ("https://example.org/services/SECRET", "https://example.org/..."),
        ("http://SECRET:SECRET@localhost:80?token=SECRET", "http://localhost:80/..."),
        ("https://example.org#@SECRET", "https://example.org/..."),
    ],
)
def test_a_webhook_is_never_shown_whole(repo: Repo, hermetic: Path, address: str, seen: str) -> None:
    own = hermetic / ".config" / "wts" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text(f'[notify]\nwebhook = "{address}"\n')
    project = open_project(repo.path)
    rows = {row.key: row for row in show_config(project)}
    assert project.settings.notify_webhook == address
    assert (rows["notify.webhook"].value, rows["notify.webhook"].text) == (seen, f'"{seen}"')


def test_a_bad_webhook_is_refused_without_being_shown() -> None:
    error = refusal(user="[notify]\nwebhook = 'htps://example.org/SECRET'")
    assert error.code == "bad-setting"
    assert "SECRET" not in f"{error.message} {error.hint}"


def test_a_bad_variable_is_named() -> None:
    message = "WTS_LOCK_TIMEOUT must be a number of seconds, 0 or more, not 'soon'"
    assert refusal(variables={"WTS_LOCK_TIMEOUT": "soon"}).message == message


def test_a_role_has_a_focus_that_can_be_taken_away() -> None:
    loaded = load("[roles]\ndocs = ''\ntest = 'Break it.'")
    focuses = [loaded.settings.focus(role) for role in ("dev", "docs", "test", "pilot", None)]
    assert focuses == [settings.ROLES["dev"], None, "Break it.", None, None]


def test_both_files_are_read_and_the_linked_worktrees_own_is_not(repo: Repo, hermetic: Path) -> None:
    (hermetic / ".config" / "wts").mkdir(parents=True)
    (hermetic / ".config" / "wts" / "config.toml").write_text('start = "none"\nclaude = "mine"\n')
    repo.write(".wts.toml", 'start = "tmux"\n')
    linked = repo.worktree("other")
    linked.write(".wts.toml", 'start = "background"\n')

    project = open_project(linked.path)

    assert (project.settings.start, project.settings.claude) == ("tmux", "mine")
    assert project.origins["start"] == (Layer.REPOSITORY, ".wts.toml")
    assert project.origins["claude"] == (Layer.USER, str(hermetic / ".config" / "wts" / "config.toml"))


def test_a_bare_repository_says_it_in_its_head(repo: Repo, tmp_path: Path) -> None:
    empty = Repo.create(tmp_path / "empty.git", "--bare")
    assert settings.load_settings(None, Git(empty.path)) == load()

    repo.commit(".wts.toml", 'start = "tmux"\n', "settings")
    repo.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    loaded = settings.load_settings(None, Git(tmp_path / "bare.git"))
    assert loaded.settings.start == "tmux"
    assert loaded.origins["start"] == (Layer.REPOSITORY, "HEAD:.wts.toml")


@pytest.mark.parametrize("target", ["/dev/zero", "."])
def test_a_settings_file_that_is_no_file_is_refused(repo: Repo, target: str) -> None:
    (repo.path / ".wts.toml").symlink_to(target)
    with pytest.raises(WtsError, match="is not a regular file"):
        open_project(repo.path).settings.get("start")


def test_a_settings_file_without_end_is_refused(repo: Repo) -> None:
    repo.write(".wts.toml", b"#" * (settings.LARGEST_FILE + 1))
    with pytest.raises(WtsError, match="larger than a settings file can be"):
        open_project(repo.path).settings.get("start")


def test_a_link_in_the_repository_does_not_lead_worktrees_away(repo: Repo, hermetic: Path) -> None:
    (repo.path / "trees").symlink_to(hermetic)
    repo.write(".wts.toml", 'worktree_dir = "trees/here"\n')
    with pytest.raises(WtsError) as raised:
        open_project(repo.path).settings.get("start")
    assert raised.value.code == "refused-setting"
    assert str(hermetic / "here") in raised.value.message


@pytest.mark.usefixtures("uncounted")
def test_without_a_file_no_parser_is_imported(repo: Repo) -> None:
    script = (
        "import sys; from pathlib import Path; from worktree_sessions.outside.git import Git; "
        "from worktree_sessions.model.settings import load_settings; "
        "top = Path(sys.argv[1]); load_settings(top, Git(top)); "
        "print('tomllib' in sys.modules, 'difflib' in sys.modules)"
    )

    def imported() -> str:
        command = [sys.executable, "-c", script, str(repo.path)]
        done = subprocess.run(command, cwd=generate_docs.ROOT, capture_output=True, check=True)
        return done.stdout.decode().strip()

    assert imported() == "False False"
    repo.write(".wts.toml", "")
    assert imported() == "True False"


def test_config_shows_every_setting_in_the_order_of_the_table(repo: Repo) -> None:
    repo.write(".wts.toml", '[setup]\nrun = ["echo \\"hi\\""]\n')
    shown = {row.key: row for row in show_config(open_project(repo.path, {"start": "none"}))}
    assert list(shown) == [row.key for row in settings.TABLE]
    assert shown["setup.run"].text == '["echo \\"hi\\""]'
    assert shown["setup.run"].origin == (Layer.REPOSITORY, ".wts.toml")
    assert (shown["start"].value, shown["start"].origin.where) == ("none", "--start")
    assert (shown["lock_timeout"].text, shown["stop_check"].text) == ("60", "true")


def test_the_settings_page_is_what_the_table_says() -> None:
    page = generate_docs.SETTINGS_PAGE.read_text(encoding="utf-8")
    assert page == generate_docs.settings_page(), "run: python tests/support/generate_docs.py"
    assert all(f"| `{row.key}` |" in page for row in settings.TABLE)


def test_the_example_of_the_settings_page_can_be_used() -> None:
    page = generate_docs.SETTINGS_PAGE.read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    loaded = load(example)
    assert loaded.settings.setup_run == ("npm ci", "npm run build")
    assert loaded.settings.setup_timeout == 900
