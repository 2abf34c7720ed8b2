"""URLs of databases, right and wrong in every way: what they hold in secret is never shown."""

import logging
import string
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import hpsearch as hp
from hpsearch.errors import HpsearchError, StoreError
from hpsearch.plan.paths import lost_database, storage_shown
from hpsearch.records.database import database_errors, open_engine
from hpsearch.records.store import Store
from hpsearch.records.urls import is_open, parse_url, shown, without_secrets

MARK = "Hunter2"
"""In every secret, so that a piece of one is known by it."""

ODD = "@:/#%[]?&= +\\'\""
secrets = st.builds(
    lambda before, after: f"{before}{MARK}{after}{MARK}",
    st.text(ODD + "ab1", max_size=4),
    st.text(ODD + "ab1", max_size=4),
)
schemes = st.sampled_from(
    ["postgresql+psycopg://", "mysql+pymysql://", "postgresql+nonsense://", "mariadb://", "sqlite://", "sqlite:///",
     "oracle://", "postgresql:/", "postgresql:", "://", "//", "", "http://", "postgresql+psycopg:////"]
)  # fmt: skip
users = st.sampled_from(["me:", ":", "m/e:", "", "me"])
hosts = st.sampled_from(["host", "", "[::1]", "host:5432", "host:port", "host:54:32", "[::1", "a,b", "%2Ftmp%2Fsocket"])
databases = st.sampled_from(["/studies", "", "/", "/a/b", "?", "/studies?sslmode=require"])
parameters = st.sampled_from(["password", "token", "sslpassword", "passfile", "options", "nonsense"])


@st.composite
def urls(draw: st.DrawFn) -> str:
    """A URL with a secret: as a password, escaped or not, or as a parameter."""
    secret = draw(st.one_of(secrets, secrets.map(lambda text: quote(text, safe=""))))
    start, host, database = draw(schemes), draw(hosts), draw(databases)
    if draw(st.booleans()):
        return f"{start}{draw(users)}{secret}@{host}{database}"
    joint = "&" if "?" in database else "?"
    return f"{start}me:pw@{host}{database}{joint}{draw(parameters)}={secret}"


def everything_said(url: str) -> str:
    """Return all that is said of a URL, with the tracebacks."""
    said = []
    ways: list[Any] = [
        lambda: parse_url(url) and "",  # SQLAlchemy's own texts are nobody's to read
        lambda: open_engine(parse_url(url)) and "",
        lambda: storage_shown(url),
        lambda: lost_database("mine", Path("runs/mine"), url),
        lambda: url if is_open(url) else "",
    ]
    for way in ways:
        try:
            said.append(str(way()))
        except HpsearchError as error:
            said += [str(error), *traceback.format_exception(error)]
    return "\n".join(said)


@given(urls())
@example("postgresql+psycopg://me:p@Hunter2@host/studies")
@example("postgresql+psycopg://me:Hunter2@host:Hunter2@port/studies")
@example("postgresql+psycopg://m/e:Hunter2@host/studies")
@example("postgresql+psycopg:///studies?password=Hunter2")
@example("postgresql+psycopg://host/studies?host=/tmp&sslpassword=Hunter2")
@example("postgresql+psycopg://Hunter2@host/studies")
@example("me:Hunter2@host/studies")
@example("sqlite:///study.db?key=Hunter2")
@example("sqlite:///me:Hunter2?Hunter2@host/studies")
@example("sqlite:///study.db?Hunter2")
def test_no_secret_of_any_url_is_shown(url: str) -> None:
    if url.startswith("sqlite:///") and not url.partition("?")[2]:
        return  # a file's path, which is no secret
    assert MARK not in everything_said(url), url


@given(st.text(string.ascii_letters + string.digits + ODD, min_size=4, max_size=12))
def test_an_escaped_password_is_kept_and_not_shown(password: str) -> None:
    url = parse_url(f"postgresql+psycopg://me:{quote(password, safe='')}@host:5432/studies")
    assert url.password == password
    assert shown(url) == "postgresql+psycopg://me:***@host:5432/studies"
    assert password not in without_secrets(f"no {password} and no {quote(password, safe='')}", url)


@pytest.mark.parametrize(
    ("url", "reads"),
    [
        ("postgresql+psycopg:///studies?host=/var/run/postgresql", True),
        ("postgresql+psycopg://localhost/studies", True),
        ("mysql+pymysql://localhost/studies?charset=utf8mb4", True),
        ("sqlite:///shared.db", True),
        ("postgresql+psycopg://me:secret@localhost/studies", False),
        ("postgresql+psycopg://token@localhost/studies", False),
        ("mysql+pymysql://localhost/studies?token=secret", False),
    ],
)
def test_a_url_is_shown_whole_only_where_nothing_in_it_may_be_a_secret(url: str, reads: bool) -> None:
    assert is_open(url) is reads
    assert "secret" not in storage_shown(url) and "token" not in storage_shown(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:Hunter2@127.0.0.1:9/studies",
        "postgresql+psycopg://127.0.0.1:9/studies?sslpassword=Hunter2&connect_timeout=2",
        "postgresql+psycopg://127.0.0.1:9/studies?token=Hunter2",
        "mysql+pymysql://me:Hunter2@127.0.0.1:9/studies",
        "mysql+pymysql://me:Hunter2@127.0.0.1:9/studies?token=Hunter2",
        "mysql+pymysql://127.0.0.1:9/studies?password=Hunter2&charset=nonsense",
        "postgresql+psycopg://me:Hunter2@/studies?host=/nowhere",
    ],
)
def test_what_drivers_say_of_a_server_that_is_not_there_shows_no_secret(
    url: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    pytest.importorskip("psycopg" if "psycopg" in url else "pymysql")
    caplog.set_level(logging.DEBUG)
    for way in (
        lambda: Store.names(url),
        lambda: Store.open(url, "mine"),
        lambda: Store.create(url, "mine", {}),
        lambda: hp.load("mine", folder=tmp_path, storage=url),
    ):
        with pytest.raises(StoreError) as caught:
            way()
        lines = [line for line in traceback.format_exception(caught.value) if MARK in line]
        assert not lines and MARK not in str(caught.value) and MARK not in caplog.text


def test_a_url_that_is_no_text_is_refused() -> None:
    with pytest.raises(StoreError, match="Path>' is not a database URL"):
        parse_url(Path("study.db"))  # type: ignore[arg-type]


def test_an_error_that_quotes_a_secret_does_not_show_it() -> None:
    import sqlite3

    url = parse_url("mysql+pymysql://me:Hunter2@host/studies?token=Hunter3")
    with pytest.raises(StoreError) as caught, database_errors(url, "counting sheep"):
        raise sqlite3.OperationalError("connect(password=Hunter2, token=Hunter3)")
    assert "Hunter" not in str(caught.value)
