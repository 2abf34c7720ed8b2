"""Mistakes in a study's settings and in how it is run, continued, changed and exported."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mistake import SPACE, TEXT, TOY, Mistake, World, run_earlier
from tasks_samples import review_rows

from hpsearch.errors import (
    DataError,
    HpsearchError,
    LeaseHeldError,
    MetricError,
    NumericsError,
    StudyChangedError,
    StudyFailedError,
    StudyNotFoundError,
    TaskError,
    UsageError,
)


def _setting(what: str, settings: str, *says: str, **more: object) -> Mistake:
    return Mistake(what, says, UsageError, settings=settings, **more)  # type: ignore[arg-type]


def _run(
    what: str, call: str, command: str, *says: str, error: type[HpsearchError] = UsageError, **more: object
) -> Mistake:
    return Mistake(
        what, says, error, call=f"study.run({call})", command=f"run study.py {command}" if command else "", **more
    )  # type: ignore[arg-type]


def _together(what: str, studies: str, *says: str, arguments: str = "trials=2", **more: object) -> Mistake:
    call = f"hp.run({studies}, {arguments}, devices='inline', progress=False)"
    return Mistake(what, says, UsageError, call=call, command="", **more)  # type: ignore[arg-type]


_OTHER = "hp.Study('other', study.task, study.space)"

TOGETHER = [
    _together("no study", "[]", "hp.run([]) has no study to run", "hp.run([study_a, study_b]"),
    _together("a study in place of a list of studies", "study", "and not a Study", "study.run(trials=50)"),
    _together(
        "a name in place of a study", "[study, 'other']", "and not a list with a str", "hp.run([study_a, study_b]"
    ),
    _together("the same study twice", "[study, study]", "'mine' is in the list 2 times", "Give each study once"),
    _together(
        "two studies of one name in one place",
        "[study, hp.Study('mine', study.task, study.space)]",
        "2 of the studies are called 'mine' and kept in runs/mine",
        "a name of its own, or another folder",
    ),
    _together(
        "a weight of zero: `weights=[1, 0]`",
        f"[study, {_OTHER}]",
        "weights=[1, 0] has 0, which is not a weight",
        "numbers above 0",
        arguments="trials=2, weights=[1, 0]",
    ),
    _together(
        "a weight too few",
        f"[study, {_OTHER}]",
        "weights=[1] is not a list with a number for each of the 2 studies",
        "weights=[1, 2]",
        arguments="trials=2, weights=[1]",
    ),
    _together(
        "a number of trials too few",
        f"[study, {_OTHER}]",
        "trials=[2] is not a list with a number for each of the 2 studies",
        "one number that is for all",
        arguments="trials=[2]",
    ),
]

SETTINGS = [
    _setting(
        "a sampler that does not exist: `bayesain`",
        'sampler="bayesain"',
        "sampler='bayesain' is not one of",
        "Did you mean 'bayesian'?",
        process=True,
    ),
    _setting(
        "a sampler's class in place of a sampler",
        'sampler=__import__("optuna").samplers.TPESampler',
        "sampler=TPESampler is a class",
        "sampler=TPESampler(...)",
    ),
    _setting("a number in place of a sampler", "sampler=5", "sampler=5 is not one of", "hp.Grid(points=...)"),
    _setting("no sampler at all", "sampler=None", "sampler=None is not one of", "'random'"),
    _setting("a list of samplers", 'sampler=["random"]', "sampler=['random'] is not one of"),
    _setting("a function in place of a sampler", "sampler=print", "sampler=<built-in function print> is not one of"),
    _setting("a pruner that does not exist: `medain`", 'pruner="medain"', "'medain'", "'median'"),
    _setting("a sampler of an earlier version", 'sampler="cmaes"', "sampler='cmaes' was removed", "Use sampler='gp'"),
    _setting(
        "a pruner object of Optuna's that remembers what it was asked",
        'pruner=__import__("optuna").pruners.HyperbandPruner()',
        "Optuna's HyperbandPruner writes into the trials",
        "pruner='hyperband'",
    ),
    _setting(
        "a pruner's class in place of a pruner",
        'pruner=__import__("optuna").pruners.MedianPruner',
        "pruner=MedianPruner is a class",
        "pruner=MedianPruner(...)",
    ),
    _setting("a number in place of a pruner", "pruner=5", "pruner=5 is not one of", "hp.SuccessiveHalving(...)"),
    _setting(
        'a precision that does not exist: `precision="fp64"`',
        'precision="fp64"',
        "precision='fp64'",
        "'auto', 'fp32', 'bf16' or 'fp16'",
    ),
    _setting(
        "no evaluations: `evaluations_per_epoch=0`", "evaluations_per_epoch=0", "evaluations_per_epoch=0", "at least 1"
    ),
    _setting("`repeats=0`", "repeats=0", "repeats=0", "at least 1"),
    _setting("a seed below zero", "seed=-1", "seed=-1", "at least 0"),
    _setting(
        "a direction in short", 'direction="min"', "direction='min' is unknown", "'minimize', 'maximize', or None"
    ),
    _setting("early stopping after no epochs", "early_stopping=0", "positive number of epochs", "None switches"),
    _setting("early stopping as a text", 'early_stopping="1 epoch"', "early_stopping='1 epoch'", "or None"),
    _setting("a checkpoint every minus one seconds", "checkpoint_every=-1", "checkpoint_every=-1", "seconds"),
    _setting(
        'a word in place of True or False: `reproducible="yes"`',
        'reproducible="yes"',
        "reproducible='yes': give True or False",
    ),
    _setting(
        "a callback that cannot be called",
        'callbacks=["wandb"]',
        "callbacks=[...] has 'wandb', a str",
        "functions f(study, trial)",
    ),
    _setting(
        "a callback that is not in a list",
        "callbacks=print",
        "callbacks=<built-in function print>",
        "callbacks=[print]",
    ),
    Mistake(
        "a study's name with a slash",
        ("'emotion/first' cannot name a study", "letters, digits, - and _"),
        UsageError,
        body=f'import hpsearch as hp\nfrom toy_task import ToyTask\n\nstudy = hp.Study("emotion/first", {TOY}, '
        f"{SPACE})\n",
        process=True,
    ),
    Mistake(
        "a study's name of three hundred letters",
        ("300 characters", "at most 200 bytes"),
        UsageError,
        body=f'import hpsearch as hp\nfrom toy_task import ToyTask\n\nstudy = hp.Study("m" * 300, {TOY}, {SPACE})\n',
    ),
    _run("no trials: `trials=0`", "trials=0", "--trials 0", "trials=0", "at least 1", process=True),
    _run("half a trial", "trials=2.5", "", "trials=2.5", "a whole number"),
    _run(
        'a timeout that is no time: `timeout="soon"`',
        'trials=2, timeout="soon"',
        "--trials 2 --timeout soon",
        "timeout='soon'",
        "'2h', '90m' or '30s'",
    ),
    _run(
        'a notice period of nothing: `notice_period="0s"`',
        'trials=2, notice_period="0s"',
        "--trials 2 --notice-period 0s",
        "notice_period='0s'",
        "'2h', '90m' or '30s'",
    ),
    _run(
        "no virtual slots: `virtual_slots=0`",
        "trials=2, virtual_slots=0",
        "--trials 2 --virtual-slots 0",
        "virtual_slots=0",
        "at least 1",
    ),
    _run("half a virtual slot", "trials=2, virtual_slots=2.5", "", "virtual_slots=2.5", "a whole number"),
    _run(
        "virtual slots of a study that decides on arrival",
        "trials=2, virtual_slots=8",
        "--trials 2 --virtual-slots 8",
        "virtual_slots=8: the study 'mine' is not reproducible",
        "Leave the argument out",
        settings="reproducible=False",
    ),
    _run("neither trials nor a timeout", "", "", "never ends by itself", "study.run(trials=50)"),
    _run(
        "a device that does not exist: `tpu`",
        'trials=2, devices="tpu"',
        "--trials 2 --devices tpu",
        "devices='tpu'",
        "Use auto",
    ),
    _run(
        "a GPU that is not there: `cuda:7`",
        'trials=2, devices="cuda:7"',
        "--trials 2 --devices cuda:7",
        "devices='cuda:7'",
        "CUDA device(s)",
        "devices='auto'",
        process=True,
    ),
    _run(
        "one of two GPUs that is not there: `cuda:90,91`",
        'trials=2, devices="cuda:90,91"',
        "--trials 2 --devices cuda:90,91",
        "asks for cuda:90",
        "devices='auto'",
    ),
    _run(
        "no trials on a device: `trials_per_device=0`",
        "trials=2, trials_per_device=0",
        "--trials 2 --trials-per-device 0",
        "trials_per_device=",
        "Give 1 or more, or 'auto'",
    ),
    _run(
        'many trials on a device: `trials_per_device="many"`',
        'trials=2, trials_per_device="many"',
        "--trials 2 --trials-per-device many",
        "trials_per_device='many'",
        "Give 1 or more, or 'auto'",
    ),
    _run(
        "two trials on one core",
        'trials=2, devices="cpu", trials_per_device=2',
        "--trials 2 --devices cpu --trials-per-device 2",
        "trials_per_device=2",
        "devices='cpu:2'",
    ),
    _run(
        "two trials at once in the calling process",
        'trials=2, devices="inline", trials_per_device=2',
        "--trials 2 --devices inline --trials-per-device 2",
        "trains one trial at a time",
        "Leave trials_per_device out",
    ),
    _run("no devices: `devices=0`", "trials=2, devices=0", "--trials 2 --devices 0", "devices=0", "1 or more"),
    _run("two and a half workers", "trials=2, devices=2.5", "", "devices=2.5", "a number of workers"),
    Mistake(
        "a task that keeps more of its outputs than a database takes",
        ("16,777,216 bytes", "30 held-out rows, 480 MiB in all", "takes 256 MiB", "Hold out fewer rows", "keeps less"),
        TaskError,
        body="from dataclasses import dataclass, replace\n\nfrom toy_task import ClassJudge, ToyTask\n\n"
        "import hpsearch as hp\n\n\nclass Everything(ClassJudge):\n    row_bytes = 2**24\n\n\n"
        "@dataclass(frozen=True, eq=False)\nclass EverythingTask(ToyTask):\n    def prepare(self, cache):\n"
        "        prepared = super().prepare(cache)\n"
        '        return replace(prepared, judge=Everything("multiclass", prepared.judge.classes))\n\n\n'
        'study = hp.Study("mine", EverythingTask(), hp.Space(epochs=1), cv=2)\n',
    ),
    _run(
        "a budget of nothing: `budget=hp.Budget()`",
        "trials=2, devices=1, budget=hp.Budget()",
        "",
        "budget=Budget() limits nothing",
        "give it one of trials, distinct_trials",
    ),
    _run(
        "a budget of no epochs: `hp.Budget(epochs=0.0)`",
        "devices=1, budget=hp.Budget(epochs=0.0)",
        "--epochs 0 --devices inline",
        "Budget(epochs=0.0) must be a finite number of epochs above 0",
    ),
    _run(
        "a negative limit: `hp.Budget(patience=-1)`",
        "trials=2, devices=1, budget=hp.Budget(patience=-1)",
        "--trials 2 --patience -1 --devices inline",
        "Budget(patience=-1) must be a whole number of at least 1",
    ),
    _run(
        "a target that is no number",
        'trials=2, devices=1, budget=hp.Budget(target=float("nan"))',
        "--trials 2 --target nan --devices inline",
        "Budget(target=nan) must be a number",
    ),
    _run(
        "endless epochs: `hp.Budget(epochs=inf)`",
        'devices=1, budget=hp.Budget(epochs=float("inf"))',
        "--epochs inf --devices inline",
        "Budget(epochs=inf) must be a finite number of epochs above 0",
    ),
    _run(
        "epochs that are no number",
        'devices=1, budget=hp.Budget(epochs_per_trial=float("nan"), trials=2)',
        "--trials 2 --epochs-per-trial nan --devices inline",
        "Budget(epochs_per_trial=nan) must be a finite number of epochs above 0",
    ),
    _run(
        'less than no time: `timeout="-5s"`',
        'trials=2, timeout="-5s"',
        "--trials 2 --timeout -5s",
        "timeout='-5s' is not a duration; give seconds",
    ),
    _run(
        "time without end: `timeout=inf`",
        'timeout=float("inf")',
        "",
        "timeout=inf is not a duration; give seconds",
    ),
    _run(
        "a target in percent: `hp.Budget(target=95.0)`",
        "trials=2, devices=1, budget=hp.Budget(target=95.0)",
        "--trials 2 --target 95 --devices inline",
        "Budget(target=95.0): f1_macro is 1 at most, so no trial reaches it",
        "as it is measured",
    ),
    _run(
        "the negative of a loss as a target",
        "trials=2, devices=1, budget=hp.Budget(target=-0.3)",
        "--trials 2 --target -0.3 --devices inline",
        "log_loss is 0 at least, so no trial reaches it",
        settings='metric="log_loss"',
    ),
    _run(
        "a target that every trial has: `hp.Budget(target=0.0)`",
        "trials=2, devices=1, budget=hp.Budget(target=0.0)",
        "--trials 2 --target 0 --devices inline",
        "f1_macro is 0 at least, so the first complete trial ends the study",
    ),
    Mistake(
        "a forecast of patience alone",
        ("Budget(patience=3) alone does not tell what a study will take", "trials= (--trials)", "timeout= (--timeout)"),
        UsageError,
        call="study.forecast(budget=hp.Budget(patience=3), devices='inline')",
        command="run study.py --patience 3 --devices inline --dry-run",
    ),
    _run(
        "True in place of a number of trials",
        "devices=1, budget=hp.Budget(distinct_trials=True)",
        "",
        "Budget(distinct_trials=True) must be a whole number",
    ),
    _run(
        "a limit in units that do not exist: 2d",
        'trials=2, devices=1, budget=hp.Budget(device_seconds="2d")',
        "--trials 2 --device-seconds 2d --devices inline",
        "Budget(device_seconds)='2d' is not a duration",
        "'2h', '90m' or '30s'",
    ),
    _run("a number in place of a budget", "trials=2, devices=1, budget=5", "", "budget=5 is a int", "hp.Budget(epochs"),
    _run(
        "a budget shorter than one segment: `hp.Budget(epochs=0.5)`",
        "devices=1, budget=hp.Budget(epochs=0.5)",
        "--epochs 0.5 --devices inline",
        "Budget(epochs=0.5) is shorter than one segment",
        "Give 1 or more",
    ),
    _run(
        "a timeout shorter than one segment",
        "trials=2, timeout=60, devices='inline'",
        "--trials 2 --timeout 60 --devices inline",
        "timeout=60.0 is shorter than one segment",
        "about 1000 s, more than is left",
        "nothing is lost",
        world=lambda place: _slow(place),
    ),
    _run(
        "a target alone, which may never be reached",
        "devices=1, budget=hp.Budget(target=0.99)",
        "--target 0.99 --devices inline",
        "never ends by itself",
        "Give trials=",
    ),
    _run(
        "a target of an objective that does not say which way it is better",
        "trials=2, devices=1, budget=hp.Budget(target=0.9)",
        "--trials 2 --target 0.9 --devices inline",
        "metric 'constant' does not tell which way it is better",
        'direction="minimize"',
        error=MetricError,
        body="import hpsearch as hp\nfrom toy_task import ToyTask\n\n\ndef constant(y_true, y_pred):\n"
        "    return 0.5\n\n\n"
        'study = hp.Study("mine", ToyTask(), hp.Space(epochs=hp.Int(1, 2)), cv=2, metric=constant, pruner="none")\n',
    ),
    _run(
        "more different trials than the space has",
        "devices=1, budget=hp.Budget(distinct_trials=5)",
        "--distinct-trials 5 --devices inline",
        "Budget(distinct_trials=5): the space has 2 different configurations",
        "Give 2 at most",
        space="hp.Space(epochs=hp.Int(1, 2))",
    ),
]


def _slow(place: Path) -> None:
    """Leave a study of one trial, each of whose evaluations took a thousand seconds."""
    run_earlier(place)
    with contextlib.closing(sqlite3.connect(place / "runs" / "mine" / "study.db")) as connection:
        connection.execute("update hpsearch_evaluations set seconds = 1000.0")
        connection.commit()


def _earlier(**changes: str) -> World:
    """Return a world in which a trial of the study was run with other settings; its file says the new ones."""

    def world(place: Path) -> None:
        text = (place / "study.py").read_text()
        for after, before in changes.items():
            assert after_text(after) in text
            text = text.replace(after_text(after), before)
        run_earlier(place, text)

    return world


def after_text(key: str) -> str:
    return {"sampler": ', sampler="random"', "seed": ", seed=1", "metric": ', metric="accuracy"', "space": "1e-2"}[key]


def _changed_rows(place: Path) -> None:
    run_earlier(place)
    review_rows(24, seed=9).to_csv(place / "train.csv", index=False)


def _other_versions(place: Path) -> None:
    run_earlier(place)
    with contextlib.closing(sqlite3.connect(place / "runs" / "mine" / "study.db")) as connection:
        (text,) = connection.execute("select description from hpsearch_studies").fetchone()
        description = json.loads(text)
        description["numerics"]["versions"]["torch"] = "1.0.0"
        connection.execute("update hpsearch_studies set description = ?", (json.dumps(description),))
        connection.commit()


@contextlib.contextmanager
def _held() -> Iterator[None]:
    """Run the study in another coordinator: its lease is taken as that would take it."""
    from hpsearch.records.store import Store
    from hpsearch.records.urls import sqlite_url

    with Store.open(sqlite_url(Path("runs/mine/study.db")), "mine") as store:
        store.acquire()
        yield


RAN = run_earlier
_FAILING = TOY.replace("()", '(trouble="raise")')
_METRIC_IN_FILE = (
    "import hpsearch as hp\nfrom toy_task import ToyTask\n\n\ndef mine(y_true, y_pred):\n"
    "    return (y_true == y_pred).mean()\n\n\n"
    'study = hp.Study("mine", ToyTask(), hp.Space(epochs=hp.Int(1, 2)), cv=2, metric=mine, pruner="none")\n'
)
GOING_ON = [
    Mistake(
        "a space changed under an old name",
        ("made with other settings", "learning_rate was Float(0.0001, 0.1", "another name"),
        StudyChangedError,
        world=_earlier(space="1e-1"),
        process=True,
    ),
    Mistake(
        "a space changed under an old name, and a forecast",
        ("made with other settings", "learning_rate was Float(0.0001, 0.1", "another name"),
        StudyChangedError,
        world=_earlier(space="1e-1"),
        call="study.forecast(trials=2, devices='inline')",
        command="run study.py --trials 2 --devices inline --dry-run",
    ),
    Mistake(
        "a seed changed under an old name",
        ("the seed, which was 0 and is 1",),
        StudyChangedError,
        settings="seed=1",
        world=_earlier(seed=""),
    ),
    Mistake(
        "a metric changed under an old name",
        ("the objective, which was 'f1_macro' and is 'accuracy'",),
        StudyChangedError,
        settings='metric="accuracy"',
        world=_earlier(metric=""),
    ),
    Mistake(
        "`reproducible` changed under an old name",
        ("reproducible, which was True and is False",),
        StudyChangedError,
        settings="reproducible=False",
        world=lambda place: run_earlier(place, (place / "study.py").read_text().replace(", reproducible=False", "")),
    ),
    _run(
        "fewer virtual slots than a study has",
        "trials=2, devices=1, virtual_slots=2",
        "--trials 2 --devices inline --virtual-slots 2",
        "virtual_slots=2: the study 'mine' has 4",
        "give as many or more",
        settings='pruner="racing"',
        world=RAN,
    ),
    Mistake(
        "rows changed under an old name",
        ("the training data", "another name"),
        StudyChangedError,
        task=TEXT,
        world=_changed_rows,
    ),
    Mistake(
        "rows that are gone when the study continues",
        ("train.csv' does not exist",),
        DataError,
        task=TEXT,
        world=lambda place: (run_earlier(place), (place / "train.csv").unlink()),
        call='hp.load("mine").run(trials=2, devices=1)',
        command="resume mine --trials 2 --devices inline",
    ),
    Mistake(
        "other versions than the study began with",
        ("torch is", "1.0.0 there", "with the same versions"),
        NumericsError,
        world=_other_versions,
        call="study.run(trials=2, devices='inline')",
        code=1,
    ),
    Mistake(
        "a study that another process is running",
        ("'mine' is being run by process", "only one coordinator"),
        LeaseHeldError,
        world=RAN,
        within=_held,
        code=3,
    ),
    Mistake(
        'a study that does not exist: `hp.load("emtion")`',
        ("no study 'emtion'", "The studies there are mine"),
        StudyNotFoundError,
        world=RAN,
        call='hp.load("emtion")',
        command="show emtion",
        process=True,
    ),
    Mistake(
        "a result before there is one",
        ("has not been run yet", "study.run(...)"),
        StudyNotFoundError,
        call="study.result",
        command="show study.py",
    ),
    Mistake(
        "a study that cannot continue without its script",
        ("a function that cannot be imported", "Run that script"),
        UsageError,
        body=_METRIC_IN_FILE,
        world=RAN,
        call='hp.load("mine").run(trials=2, devices="inline")',
        command="resume mine",
        says_otherwise=True,
    ),
    Mistake(
        "the best of a study without a complete trial",
        ("No trial of 'mine' is complete", "result.table()"),
        UsageError,
        task=_FAILING,
        world=lambda place: run_earlier(place),
        call='hp.load("mine").result.best',
        command="export mine best-model",
    ),
    Mistake(
        "a trial that does not exist",
        ("no trial 17 in 'mine'", "complete trials: 0"),
        UsageError,
        world=RAN,
        call='hp.load("mine").result.export("best-model", number=17)',
        command="export mine best-model --trial 17",
    ),
    Mistake(
        "predictions of a trial that does not exist",
        ("no trial 17 in 'mine'", "complete trials: 0"),
        UsageError,
        world=RAN,
        call='hp.load("mine").result.out_of_fold(17)',
        command="",
    ),
    Mistake(
        "an export into a folder that is not empty",
        ("images exists and is not empty", "overwrite=True (--overwrite)"),
        UsageError,
        world=RAN,
        call='hp.load("mine").result.export("images")',
        command="export mine images",
    ),
    Mistake(
        "an export over a folder that is not an export",
        ("is not an earlier export", "remove it yourself"),
        UsageError,
        world=RAN,
        call='hp.load("mine").result.export("images", overwrite=True)',
        command="export mine images --overwrite",
    ),
    Mistake(
        "an export to a file",
        ("train.csv is a file", "a folder of its own"),
        UsageError,
        world=RAN,
        call='hp.load("mine").result.export("train.csv")',
        command="export mine train.csv",
    ),
]

IN_TRAINING = [
    Mistake(
        "training that fails in each of the first three trials",
        ("The first 3 trials all failed with the same exception", "Fix the cause", "the toy is broken"),
        StudyFailedError,
        task=_FAILING,
        call="study.run(trials=5, devices='inline', progress=False)",
        command="run study.py --trials 5 --devices inline",
        code=1,
        leaves=True,
        trains=True,
    ),
    Mistake(
        "training that diverges in every trial",
        ("None of the 2 trials of 'mine' is complete", "The table says why", "widen the space"),
        StudyFailedError,
        task=TOY.replace("()", '(trouble="diverge")'),
        call="",
        code=1,
        leaves=True,
        trains=True,
    ),
    Mistake(
        "a model that fits no memory",
        ("Not one row of the longest can be trained on", "take a smaller model"),
        TaskError,
        body="from dataclasses import dataclass\n\nimport torch\nfrom toy_task import ToyLearner, ToyTask\n\n"
        "import hpsearch as hp\n\n\nclass Hungry(ToyLearner):\n    def outputs(self, model, batch):\n"
        "        torch.empty(10**15)\n\n\n@dataclass(frozen=True, eq=False)\nclass HungryTask(ToyTask):\n"
        '    def learner(self, prepared, split="train"):\n        plain = super().learner(prepared, split)\n'
        "        return Hungry(self, plain._inputs, plain._targets)\n\n\n"
        'study = hp.Study("mine", HungryTask(), hp.Space(epochs=hp.Int(1, 2)), cv=2, pruner="none")\n',
        call="",
        leaves=True,
    ),
]

GROUPS = {
    "Settings of a study and of a run": SETTINGS,
    "Several studies at once": TOGETHER,
    "Continuing and exporting": GOING_ON,
    "Known only in training": IN_TRAINING,
}
