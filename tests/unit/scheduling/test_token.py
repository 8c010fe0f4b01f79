"""Ray's token: where it is found, how it is made, what local runs and clusters do with it."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.scheduling import token


@pytest.fixture(autouse=True)
def account(tmp_path, monkeypatch):
    """An account of its own, without a token."""
    for name in (token.MODE, token.TOKEN, token.TOKEN_PATH):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(token, "_tell_ray", lambda: None)
    monkeypatch.setattr(token, "_OWN", token._ThrowAway())
    return tmp_path


def answers(monkeypatch, accepted: str | None) -> None:
    """A cluster that takes one token, or (None) needs none."""
    monkeypatch.setattr(
        token, "_refuses", lambda address, found: accepted is not None and (found is None or found.text != accepted)
    )


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_found_in_rays_own_order(account, monkeypatch):
    assert token.find_token() is None
    (account / ".ray").mkdir()
    (account / ".ray" / "auth_token").write_text(" from home \nmore\n")
    assert token.find_token() == token.Token("from home", str(account / ".ray" / "auth_token"))
    (account / "named").write_text("from a file\n")
    monkeypatch.setenv(token.TOKEN_PATH, str(account / "named"))
    assert token.find_token() == token.Token("from a file", str(account / "named"))
    monkeypatch.setenv(token.TOKEN, " from the environment\n")
    assert token.find_token() == token.Token("from the environment", token.TOKEN)


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_named_file_without_a_token_is_an_error(account, monkeypatch, content):
    if content is not None:
        (account / "named").write_text(content)
    monkeypatch.setenv(token.TOKEN_PATH, str(account / "named"))
    with pytest.raises(HarnessError, match="holds no token") as raised:
        token.find_token()
    assert raised.value.where == token.TOKEN_PATH


def test_a_made_one_is_the_owners_alone_and_kept(account):
    made = token.make_token()
    place = account / ".ray" / "auth_token"
    assert place.read_text() == made.text
    assert len(made.text) == 64
    assert (mode_of(place), mode_of(place.parent)) == (0o600, 0o700)
    assert token.make_token() == made
    assert [path.name for path in place.parent.iterdir()] == ["auth_token"]


def test_all_who_make_one_at_once_get_the_same(account):
    with ThreadPoolExecutor(16) as threads:
        made = {one.text for one in threads.map(lambda _: token.make_token(), range(64))}
    assert len(made) == 1
    assert [path.name for path in (account / ".ray").iterdir()] == ["auth_token"]


def test_an_empty_file_is_replaced(account):
    (account / ".ray").mkdir()
    (account / ".ray" / "auth_token").write_text("")
    assert token.make_token().text == (account / ".ray" / "auth_token").read_text() != ""
    assert mode_of(account / ".ray" / "auth_token") == 0o600
    assert len(list((account / ".ray").iterdir())) == 1


def test_a_home_that_cannot_be_written_is_told(account):
    (account / ".ray").write_text("a file where the folder should be")
    with pytest.raises(HarnessError, match="no token can be kept") as raised:
        token.make_token()
    assert raised.value.kind == "storage"


def test_a_local_run_writes_no_file_and_leaves_the_next_one_alone(account, monkeypatch):
    answers(monkeypatch, None)
    token.for_local()
    first = os.environ[token.TOKEN]
    assert os.environ[token.MODE] == "token"
    token.for_local()
    assert os.environ[token.TOKEN] not in ("", first)
    token.for_cluster("127.0.0.1:1")
    assert token.TOKEN not in os.environ
    assert token.MODE not in os.environ
    assert list(account.iterdir()) == []


def test_a_local_run_between_two_clusters_gives_the_users_own_token_back(monkeypatch):
    answers(monkeypatch, "mine")
    monkeypatch.setenv(token.TOKEN, "mine")
    token.for_cluster("127.0.0.1:1")
    token.for_local()
    assert os.environ[token.TOKEN] != "mine"
    token.for_cluster("127.0.0.1:1")
    assert (os.environ[token.MODE], os.environ[token.TOKEN]) == ("token", "mine")


def test_a_mode_that_the_user_has_set_is_kept(monkeypatch):
    monkeypatch.setenv(token.MODE, "disabled")
    token.for_local()
    assert token.TOKEN not in os.environ
    answers(monkeypatch, "theirs")
    with pytest.raises(HarnessError, match="demands a token, and RAY_AUTH_MODE=disabled here"):
        token.for_cluster("127.0.0.1:1")


def test_what_a_cluster_refuses_is_said(account, monkeypatch):
    answers(monkeypatch, "theirs")
    with pytest.raises(HarnessError, match="demands a token, and there is none on this account"):
        token.for_cluster("127.0.0.1:1")
    monkeypatch.setenv(token.TOKEN, "mine")
    with pytest.raises(HarnessError, match="does not take the token of RAY_AUTH_TOKEN") as raised:
        token.for_cluster("127.0.0.1:1")
    assert raised.value.where == "127.0.0.1:1"
    assert "mine" not in str(raised.value)


def test_the_mode_without_a_token_is_said_before_anything_is_asked(monkeypatch):
    monkeypatch.setenv(token.MODE, "token")
    with pytest.raises(HarnessError, match="RAY_AUTH_MODE=token, and there is no token"):
        token.for_cluster("127.0.0.1:1")


def test_a_port_where_no_ray_answers_is_left_to_ray(monkeypatch):
    monkeypatch.setattr(token, "PATIENCE", 1.0)
    token.for_cluster("127.0.0.1:1")
    assert token.MODE not in os.environ


def test_the_command_asks_the_head_of_a_node_that_joins(monkeypatch, capsys):
    answers(monkeypatch, "theirs")
    monkeypatch.setenv(token.TOKEN, "mine")
    assert token.main(["--check", "head:6379"]) == 1
    said = capsys.readouterr().err
    assert "the cluster does not take the token of RAY_AUTH_TOKEN" in said
    assert "head:6379" in said
    monkeypatch.setenv(token.TOKEN, "theirs")
    assert token.main(["--check", "head:6379"]) == 0
    assert capsys.readouterr().err == ""


def test_the_command_makes_one_for_a_head_and_none_for_a_worker(account, capsys):
    assert token.main(["--check"]) == 1
    assert "no token of a Ray cluster" in capsys.readouterr().err
    assert token.main([]) == 0
    said = capsys.readouterr().err
    place = account / ".ray" / "auth_token"
    assert str(place) in said
    assert place.read_text() not in said
    assert token.main(["--check"]) == 0
