"""Mistakes that only a command line can make: study files, names, arguments."""

from mistake import Mistake, run_earlier

from hpsearch.errors import HpsearchError, StoreError, StudyNotFoundError, UsageError


def _file(what: str, body: str, *says: str, error: type[HpsearchError] = UsageError, **more: object) -> Mistake:
    return Mistake(what, says, error, body=body, call="", **more)  # type: ignore[arg-type]


def _command(what: str, command: str, *says: str, error: type[HpsearchError] = UsageError, **more: object) -> Mistake:
    return Mistake(what, says, error, command=command, call="", **more)  # type: ignore[arg-type]


COMMANDS = [
    _command(
        "a study file that is not there",
        "run nowhere.py",
        "no file nowhere.py",
        "Name a Python file",
        error=StudyNotFoundError,
        process=True,
    ),
    _command("a folder in place of a study file", "run images", "no file images", error=StudyNotFoundError),
    _file(
        "a study file without a study",
        "import hpsearch as hp\n",
        "study.py defines no study",
        "study = hp.Study",
        error=StudyNotFoundError,
        process=True,
    ),
    _file(
        "a study file whose study is something else",
        "study = 'mine'\n",
        "study.py defines no study",
        error=StudyNotFoundError,
    ),
    _file(
        "a study file with a syntax error",
        "study = (\n",
        "study.py, line 1: '(' was never closed",
        process=True,
        quotes=True,
    ),
    _file(
        "a study file that raises",
        "rows = {}\n\nrows['text']\n",
        "study.py, line 3: KeyError: 'text'",
        "Fix the file",
        process=True,
    ),
    _file("a study file that is not Python", "\x00\x01\n", "study.py", "null bytes", quotes=True),
    _file(
        "a study file with an import that fails",
        "import hpsearhc\n",
        "line 1: ModuleNotFoundError",
        "Fix the file",
        quotes=True,
    ),
    _command(
        "no study by that name", "show nothing", "no study 'nothing' in runs", "--folder", error=StudyNotFoundError
    ),
    _command(
        "a folder without studies", "show mine --folder images", "no study 'mine' in images", error=StudyNotFoundError
    ),
    _command("a shipped space that does not exist", "spaces vit-larg", "no search space 'vit-larg'"),
    _command(
        "one page for two studies",
        "report study.py --output one.html",
        "leave out --output",
        body="import hpsearch as hp\nfrom toy_task import ToyTask\n\n"
        "studies = [hp.Study(name, ToyTask(), hp.Space(epochs=1, learning_rate=hp.Float(1e-4, 1e-2)), cv=2, "
        'pruner="none") for name in ("a", "b")]\nstudy = studies[0]\n',
        world=lambda place: (
            run_earlier(place),
            run_earlier(place, (place / "study.py").read_text().replace("studies[0]", "studies[1]")),
        ),
    ),
    _command(
        "a URL that names no database, on the command line",
        "list --storage nonsense",
        "storage='nonsense' is not a database URL",
        error=StoreError,
        code=1,
    ),
]

GROUPS = {"Commands and study files": COMMANDS}
