"""URLs of databases: reading them, and showing them without what may be a secret."""

import re
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote_plus

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from hpsearch.errors import StoreError

EXAMPLES = (
    "'sqlite:///path/to/study.db', 'postgresql+psycopg://user:password@host/database' or "
    "'mysql+pymysql://user:password@host/database'"
)

HIDDEN = "***"

_SHOWN_PARAMETERS = {"application_name", "charset", "connect_timeout", "host", "port", "sslmode", "unix_socket"}
"""Parameters of drivers that hold no secret; of any other, neither name nor value is shown."""

_PLAIN = r"[\w./ -]*"
"""What of a URL's parts is shown: with anything else in it, a part may be a piece of a password in the wrong place."""


def sqlite_url(path: Path) -> str:
    """Return the URL of the SQLite database at `path`."""
    return URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)


def sqlite_path(url: URL) -> Path | None:
    """Return the path of the database at `url`, or None where it is not a SQLite file."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def optuna_url(url: URL) -> str:
    """Return `url` as optuna.storages.RDBStorage takes it: it formats the text, so braces are doubled."""
    return url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")


def shown(url: URL) -> str:
    """Return `url` as messages show it: the path of a SQLite file, or the URL without anything that may be a secret.

    Shown are a user's name beside a password, and host, port and database where they are plain words.
    """
    path = sqlite_path(url)
    if path and not _has_more(url):
        return str(path)
    if url.get_backend_name() == "sqlite":
        return f"{url.drivername}:///{HIDDEN}"
    user = f"{url.username}:" if url.password is not None and _is_plain(url.username) else ""
    userinfo = "" if url.username is None and url.password is None else f"{user}{HIDDEN}@"
    host = url.host or ""
    host = host if _is_plain(host) else f"[{host}]" if re.fullmatch(r"[0-9a-fA-F:.]+", host) else HIDDEN
    port = "" if url.port is None else f":{url.port}"
    database = "" if url.database is None else f"/{url.database if _is_plain(url.database) else HIDDEN}"
    query = "&".join(f"{name}={value}" if value else HIDDEN for name, value in _shown_query(url))
    return f"{url.drivername}://{userinfo}{host}{port}{database}{query and '?'}{query}"


def is_open(storage: str) -> bool:
    """Whether a URL can be shown whole, because nothing in it may be a secret."""
    url = parse_url(storage)
    return sqlite_path(url) is not None or _parsed(shown(url)) == url


def without_secrets(text: str, url: URL) -> str:
    """Return what a driver says about the database at `url` without what `shown` hides of it."""
    hidden = dict(_shown_query(url))
    values = [str(url.password or "")]
    for name, given in url.query.items():
        if not hidden[name]:
            values += [name, *([given] if isinstance(given, str) else given)]
    spellings = {
        spelling for value in values for spelling in (value, quote(value), quote(value, ""), quote_plus(value))
    }
    for secret in sorted(filter(None, spellings), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def parse_url(url: str) -> URL:
    """Check `url`, and make the path of a SQLite file absolute. Raises StoreError, which shows no secret of it."""
    parsed = _parsed(url)
    if parsed is None:
        raise StoreError(f"storage={_shown_text(url)!r} is not a database URL. Write {EXAMPLES}.") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql", "mysql", "mariadb"):
        raise StoreError(
            f"storage={shown(parsed)!r}: hpsearch keeps studies in SQLite, PostgreSQL or MySQL (also MariaDB), not in "
            f"{parsed.get_backend_name()!r}. Use one of those, or leave `storage` out for a SQLite file."
        )
    if parsed.get_backend_name() == "sqlite":
        return _plain_file(parsed, url)
    _, _, rest = url.partition("://")
    misplaced = "@" in f"{parsed.host}{parsed.database}" or rest.count("@") > 1 or ("@" in rest and not parsed.username)
    if misplaced:
        raise StoreError(
            f"storage='{parsed.drivername}://{HIDDEN}' cannot be read: a user, a password or a parameter in it has a "
            "character that a URL uses itself. Write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25; "
            f"as a whole it reads like {EXAMPLES}."
        )
    return parsed


def _plain_file(url: URL, text: str) -> URL:
    path = sqlite_path(url)
    has_more = _has_more(url) or "?" in text  # SQLAlchemy drops what is no name=value
    if path is None or str(path).startswith((":", "file:")) or has_more:
        given = f"{url.drivername}:///{HIDDEN}" if has_more else shown(url)
        raise StoreError(
            f"storage={given!r} does not name a plain SQLite file; a study must outlive its process. Write "
            "'sqlite:///path/to/study.db' (a path without '?')."
        )
    return url.set(database=str(path.absolute()))


def _parsed(url: str) -> URL | None:
    try:
        return make_url(url)
    except (ArgumentError, ValueError, TypeError):  # of a port that is no number, ValueError
        return None


def _shown_text(url: object) -> str:
    """Return a text that is no URL as a message shows it: whole only where it is a plain name or path."""
    if not isinstance(url, str):
        return f"<{type(url).__name__}>"
    if re.fullmatch(_PLAIN, url):
        return url
    scheme = re.match(r"(sqlite|postgres|postgresql|mysql|mariadb)(\+\w+)?://", url)
    return f"{scheme[0] if scheme else ''}{HIDDEN}"


def _has_more(url: URL) -> bool:
    """Whether a URL has more than a path."""
    return bool(url.query or url.host or url.username or url.password or url.port)


def _is_plain(text: str | None) -> bool:
    return text is not None and re.fullmatch(_PLAIN, text) is not None


def _shown_query(url: URL) -> list[tuple[str, str]]:
    """Return the parameters of a URL, with "" for a value that is not shown."""
    shown_values = []
    for name, value in url.query.items():
        is_shown = name in _SHOWN_PARAMETERS and isinstance(value, str) and _is_plain(unquote_plus(value))
        shown_values.append((name, value if is_shown and isinstance(value, str) else ""))
    return shown_values
