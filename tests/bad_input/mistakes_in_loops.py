"""Mistakes with the user's own functions, trainers and commands: who reports what, how often, and of which rows."""

from mistake import Mistake, written

from hpsearch.errors import HpsearchError, MetricError, TaskError, UsageError

_FILE = """import hpsearch as hp


def train(config, run):
    for epoch in range(config["epochs"]):
        run.report(epoch, accuracy=0.5)


study = hp.Study("mine", {task}, hp.Space({space}), {settings})
"""
_ACCURACY = 'metric="accuracy"'
_COMMAND = 'hp.CommandTask("tool --rate {rate} {more}", pattern="accuracy: (?P<accuracy>.*)")'


def _own(
    what: str,
    *says: str,
    error: type[HpsearchError] = TaskError,
    task: str = "hp.FunctionTask(train)",
    space: str = "rate=hp.Float(0.1, 0.9), epochs=2",
    settings: str = _ACCURACY,
    **more: object,
) -> Mistake:
    body = _FILE.replace("{task}", task).replace("{space}", space).replace("{settings}", settings)
    return Mistake(what, says, error, body=body, **more)  # type: ignore[arg-type]


MISTAKES = [
    _own(
        "a function of which nothing says how often it reports",
        "Nothing says how often train reports",
        "reports=10",
        space="rate=hp.Float(0.1, 0.9)",
    ),
    _own(
        "`reports=` for a space with `epochs`",
        "epochs=2 and reports=5 both say how often a run reports",
        "Leave reports= out",
        task="hp.FunctionTask(train, reports=5)",
    ),
    _own(
        "a function's study without `metric=`",
        "metric= is not given",
        "metric='accuracy'",
        error=MetricError,
        settings="seed=1",
    ),
    _own(
        'a reported metric of an unknown name: `metric="height"`',
        "nothing is known of this name",
        "direction='maximize'",
        error=MetricError,
        settings='metric="height"',
    ),
    _own(
        "`cv=5` for a function that reads its own rows",
        "cv=5 is given, and the user's code reads its own rows",
        "train=",
        error=UsageError,
        settings=f"{_ACCURACY}, cv=5",
    ),
    _own(
        "`validation=` without `train=`",
        "validation= is given without train=",
        "Give both, or neither",
        task="hp.FunctionTask(train, validation=[1, 2])",
    ),
    _own(
        "a path in place of a function's rows",
        "train= is a str",
        "give a DataFrame",
        task='hp.FunctionTask(train, train="train.csv")',
    ),
    _own(
        "a hyperparameter that reaches a command in no way",
        "The hyperparameter 'epochs' is nowhere in the command 'tool --rate {rate} {more}'",
        "config='base.yaml'",
        task=_COMMAND,
    ),
    _own(
        "a hyperparameter that is no key of a command's config file",
        "'base.yaml' has no key 'rate' to be replaced",
        "section__key",
        task='hp.CommandTask("tool {config}", config="base.yaml", pattern="accuracy: (?P<accuracy>.*)")',
        world=written("base.yaml", "epochs: 3\n"),
    ),
    _own(
        "a command that does not name its config file",
        "config='base.yaml' is given, and the command 'tool --fast' does not name it",
        "Write {config}",
        task='hp.CommandTask("tool --fast", config="base.yaml", pattern="accuracy: (?P<accuracy>.*)")',
        world=written("base.yaml", "rate: 0.5\nepochs: 3\n"),
    ),
    _own(
        "metrics of all of a command's runs in one file",
        "metrics_file='log.jsonl' is one place for all runs",
        "metrics_file='{folder}/log.jsonl'",
        task='hp.CommandTask("tool {rate} {epochs}", metrics_file="log.jsonl")',
    ),
    _own(
        "a command without metrics",
        "A command reports by metrics_file=",
        "give one of them",
        task='hp.CommandTask("tool {rate} {epochs}")',
    ),
]

GROUPS = {"Your own function, trainer or command": MISTAKES}
