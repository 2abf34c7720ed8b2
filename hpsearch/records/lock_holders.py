"""Who holds a lock on a study's database: the session of a server, or a process that has a SQLite file open."""

from datetime import datetime
from pathlib import Path

import psutil
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from hpsearch.records.urls import sqlite_path

_POSTGRESQL = """
select a.pid, a.usename, coalesce(host(a.client_addr), 'a socket'), coalesce(a.state, 'unknown'),
    extract(epoch from a.xact_start), a.application_name
from pg_stat_activity a where a.pid <> pg_backend_pid() and a.pid in (
    select l.pid from pg_locks l left join pg_class c on c.oid = l.relation
    where l.granted and l.database = (select oid from pg_database where datname = current_database())
    and (l.locktype = 'advisory' or l.mode <> 'AccessShareLock'
        and (c.relname like 'hpsearch%' or c.relname in ('studies', 'trials', 'alembic_version'))))
order by a.xact_start nulls last limit 1
"""

_MYSQL = """
select t.trx_mysql_thread_id, p.user, p.host, coalesce(p.command, 'unknown'), unix_timestamp(t.trx_started), ''
from information_schema.innodb_trx t
left join information_schema.processlist p on p.id = t.trx_mysql_thread_id
where t.trx_mysql_thread_id <> connection_id() and t.trx_rows_locked > 0
order by t.trx_started limit 1
"""

_ENDING = {"postgresql": "select pg_terminate_backend({})", "mysql": "kill {}", "mariadb": "kill {}"}

UNSEEN = "a transaction that this database user may not see (an administrator sees it)"

_WRITE_LOCKS = {"120", "1073741824", "1073741825", "1073741826"}
"""Bytes that SQLite's writer locks: of the shared memory (sqlite.org/walformat.html, 2.3), or of the file itself."""


def lock_holder(engine: Engine, url: URL) -> str:
    """Return in words who holds the oldest lock on the tables of a study at `url`, as far as can be seen."""
    path = sqlite_path(url)
    if path is not None:
        return _process(path)
    query = _POSTGRESQL if engine.dialect.name == "postgresql" else _MYSQL
    try:
        with engine.connect() as connection:
            row = connection.execute(text(query)).first()
    except SQLAlchemyError:
        return UNSEEN
    if row is None:
        return "a transaction that has ended meanwhile"
    session, user, host, state, since, application = row
    name = f", {application}" if application else ""
    began = f", since {_time(float(since))}" if since is not None else ""
    ending = _ENDING[engine.dialect.name].format(session)
    return f"session {session} (user {user}, from {host}{name}, {state}{began}; `{ending}` ends it)"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _process(database: Path) -> str:
    """Return which process writes to a SQLite file, where the system tells: the file itself must not be opened.

    Closing a file drops all of a process's locks on it, SQLite's own too.
    """
    try:
        files = [path for path in (database, database.with_name(f"{database.name}-shm")) if path.exists()]
        nodes = {str(path.stat().st_ino) for path in files}
        locks = [line.split() for line in Path("/proc/locks").read_text(encoding="ascii").splitlines()]
        own = psutil.Process().pid
        # number: POSIX ADVISORY WRITE process device:device:node first last
        pids = [int(words[4]) for words in locks if words[5].split(":")[-1] in nodes and words[6] in _WRITE_LOCKS]
        process = psutil.Process(next(pid for pid in pids if pid not in (own, 0, -1)))
        since = _time(process.create_time())
        return f"process {process.pid} ({process.name()}, started {since})"
    except (OSError, ValueError, IndexError, StopIteration, psutil.Error):
        return "another process"
