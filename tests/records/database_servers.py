"""Real database servers for these tests: in a temporary folder, on the loopback interface, by an unprivileged user.

A server that is not installed is said so, in the summary, by each test that is skipped for it.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy
from sqlalchemy.exc import SQLAlchemyError

PASSWORD = "s3cr-t/%:p@ss"
"""Of the user of every server here, with what a URL has to escape."""


def program(name: str) -> str | None:
    """Return the path of a server's program; Debian has PostgreSQL's outside PATH."""
    folders = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", *folders]))


class Server:
    """A database server of its own, with the database `studies` and the user `hp`."""

    kind = ""
    driver = ""
    scheme = ""
    own_database = ""
    programs: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._account: dict[str, Any] = {}
        if os.name == "posix" and os.getuid() == 0:  # both refuse to be run by root
            self._account = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody", "nogroup")

    @classmethod
    def missing(cls) -> str | None:
        """Return what this machine lacks to run the server, or None."""
        lacking = [name for name in cls.programs if program(name) is None]
        if lacking:
            return f"{cls.kind} is not installed ({', '.join(lacking)}), so nothing is tested on it"
        if importlib.util.find_spec(cls.driver) is None:
            return f"the package {cls.driver} is not installed, so nothing is tested on {cls.kind}"
        return None

    def url(self, database: str = "studies", user: str = "hp", password: str | None = PASSWORD) -> str:
        made = sqlalchemy.URL.create(self.scheme, user, password, "127.0.0.1", self.port, database)
        return made.render_as_string(hide_password=False)

    def make(self) -> None:
        """Make the data folder, start the server, and make the user and the database."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def empty(self) -> str:
        """Drop the database, make it again, and return its URL."""
        raise NotImplementedError

    def run(self, *words: str) -> None:
        done = subprocess.run(words, check=False, cwd=self.folder, capture_output=True, text=True, **self._account)
        assert done.returncode == 0, f"{words[0]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, stdout=log, stderr=log, start_new_session=True, **self._account
            )
        end = time.monotonic() + 60
        while not self.answers():
            assert time.monotonic() < end, (self.folder / "server.log").read_text(errors="replace")[-3000:]
            time.sleep(0.05)

    def answers(self) -> bool:
        raise NotImplementedError

    def stop(self, number: int = signal.SIGKILL) -> None:
        """End the server: killed as by a power cut, or by another signal in its own way."""
        if self.process is None:
            return
        children = self._processes()[1:] if number == signal.SIGKILL else []
        self.process.send_signal(number)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.wait(timeout=60)
        self.process = None

    def _processes(self) -> list[psutil.Process]:
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        return [server, *server.children(recursive=True)]

    def freeze(self) -> None:
        """Stop all its processes: connections stay open, and nothing answers."""
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        for process in self._processes():
            process.resume()

    def statements(self, *texts: str, database: str = "studies", **user: Any) -> list[Any]:
        """Execute statements by themselves, and return the rows of the last."""
        engine = sqlalchemy.create_engine(
            self.url(database, **user), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        rows: list[Any] = []
        with engine.connect() as connection:
            for text in texts:
                result = connection.exec_driver_sql(text)
                rows = list(result) if result.returns_rows else []
        return rows

    def _can_connect(self, **user: Any) -> bool:
        try:
            self.statements("select 1", **user)
        except SQLAlchemyError:
            return False
        return True


class PostgreSQL(Server):
    kind, driver, scheme = "PostgreSQL", "psycopg", "postgresql+psycopg"
    own_database = "postgres"
    programs = ("initdb", "postgres")

    def make(self) -> None:
        passwords = self.folder / "password"
        passwords.write_text(PASSWORD)
        passwords.chmod(0o644)
        words = ["--username=hp", f"--pwfile={passwords}", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"]
        self.run(str(program("initdb")), "-D", str(self.folder / "data"), "--locale=C", *words)
        self.start()
        self.statements("create database studies", database=self.own_database)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "dynamic_shared_memory_type": "mmap",
        }
        pairs = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(program("postgres")), "-D", str(self.folder / "data"), *pairs]

    def answers(self) -> bool:
        return self._can_connect(database=self.own_database)

    def empty(self) -> str:
        self.statements("drop database if exists studies with (force)", "create database studies", database="postgres")
        return self.url()

    def stop(self, number: int = signal.SIGQUIT) -> None:
        """End the server: at once and unclean by default; its children end with it."""
        super().stop(number)


class MariaDB(Server):
    kind, driver, scheme = "MariaDB", "pymysql", "mysql+pymysql"
    own_database = "mysql"
    programs = ("mariadbd", "mariadb-install-db")

    def make(self) -> None:
        words = ["--auth-root-authentication-method=normal", "--skip-test-db", f"--datadir={self.folder / 'data'}"]
        words.append(f"--tmpdir={self.folder}")  # that of the session is closed to the server's user
        self.run(str(program("mariadb-install-db")), "--no-defaults", *words)
        self.start()
        escaped = PASSWORD.replace("%", "%%")  # as pymysql formats it
        root: dict[str, Any] = {"user": "root", "password": None}
        self.statements(f"create user hp@'127.0.0.1' identified by '{escaped}'", database=self.own_database, **root)
        self.statements("create database studies", database=self.own_database, **root)
        self.statements("grant all on *.* to hp@'127.0.0.1'", database=self.own_database, **root)

    def command(self) -> list[str]:
        return [
            str(program("mariadbd")),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--innodb-flush-method=nosync",  # nothing here cuts the power of the machine
            "--innodb-buffer-pool-size=32M",
            "--skip-name-resolve",
            f"--tmpdir={self.folder}",
        ]

    def answers(self) -> bool:
        return self._can_connect(database=self.own_database, user="root", password=None)

    def empty(self) -> str:
        for (connection,) in self.statements(
            "select id from information_schema.processlist where db = 'studies'", database="mysql"
        ):
            self.statements(f"kill {connection}", database=self.own_database)
        self.statements("drop database if exists studies", "create database studies", database=self.own_database)
        return self.url()


@contextmanager
def folder_of_servers() -> Iterator[Path]:
    """A folder for the servers of a session; pytest's own may be removed by another session meanwhile."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    folder = Path(tempfile.mkdtemp(prefix="hpsearch-servers-", dir=memory if roomy else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Servers:
    """The servers of a session, each made by the first test that needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: dict[str, Server] = {}

    def started(self, kind: str) -> Server:
        """Return a running server with an empty database, or skip the test and say why."""
        made = KINDS[kind]
        missing = made.missing()
        if missing:
            pytest.skip(missing)
        if kind not in self._servers:
            folder = self._folder / kind
            folder.mkdir()
            self._servers[kind] = made(folder)
            self._servers[kind].make()
        server = self._servers[kind]
        if server.process is None:
            server.start()
        server.empty()
        return server

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()


KINDS: Mapping[str, type[Server]] = {"postgresql": PostgreSQL, "mariadb": MariaDB}
