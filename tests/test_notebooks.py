"""A notebook, executed for real: model, metric and task are defined in cells and travel to worker processes."""

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

CELLS = (
    "import numpy as np\nimport torch\nfrom torch import nn\n\nimport hpsearch as hp",
    """\
class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, rows):
        return rows + torch.relu(self.inner(rows))


class Net(nn.Module):
    def __init__(self, width: int = 4, depth: int = 1):
        super().__init__()
        self.first = nn.Linear(6, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.last = nn.Linear(width, 3)

    def forward(self, rows):
        return self.last(self.blocks(self.first(rows)))""",
    """\
def hits(y_true, y_pred):
    return float(np.mean(y_true == y_pred))


def halved(y_true, y_pred):
    return 0.5 * hits(y_true, y_pred)""",
    """\
class Quick(hp.CustomTask):
    def recommended(self):
        return {**super().recommended(), "epochs": 1, "batch_size": 8}


random, targets = np.random.default_rng(0), np.arange(30) % 3
rows = random.normal(size=(30, 6)) + np.eye(3, 6)[targets]
task = Quick(Net, train=(rows, targets))""",
    """\
space = hp.Space(learning_rate=hp.Float(1e-3, 1e-1, log=True), width=hp.Int(2, 6), depth=hp.Int(1, 2))
study = hp.Study("notebook", task, space, cv=2, sampler="random", metric=halved, pruner="none", folder="studies")""",
    "result = study.run(trials=TRIALS, devices=2, progress=False)\nprint(result.text())\nresult",
)


def executed(folder: Path, trials: int, *edits: tuple[str, str]) -> list[Any]:
    """Run the cells in a kernel of their own, and again after each edit of one; return the last cell of each round.

    Args:
        folder: The kernel's working directory.
        trials: What stands for TRIALS.
        edits: What is replaced in the cells as they were at first, and by what.
    """
    import nbformat
    from nbclient import NotebookClient

    rounds = [CELLS, *(tuple(cell.replace(*edit) for cell in CELLS) for edit in edits)]
    sources = [cell.replace("TRIALS", str(trials)) for cells in rounds for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook.cells[len(CELLS) - 1 :: len(CELLS)]


def printed(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.outputs if output.output_type == "stream")


def refused(cell: Any) -> str:
    (error,) = [output for output in cell.outputs if output.output_type == "error"]
    assert error.ename == "StudyChangedError"
    return str(error.evalue)


def test_a_notebook_runs_a_study_goes_on_with_it_and_notices_an_edited_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HPSEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = printed(executed(tmp_path, 2)[0])
    assert "best: trial" in first

    gone_on, metric_edited, class_edited = executed(
        tmp_path,
        3,
        ("np.mean(y_true == y_pred)", "np.mean(y_true == y_pred) ** 2"),
        ("rows + torch.relu", "rows - torch.relu"),  # in a class that Net uses
    )
    resumed = printed(gone_on)
    before, after = (dict(line.split(maxsplit=1) for line in text.splitlines()[1:]) for text in (first, resumed))
    assert [after[number] for number in "01"] == [before[number] for number in "01"]
    assert after["2"].startswith("complete")

    error = refused(metric_edited)
    assert "what a metric computes" in error
    assert "make_model" not in error
    error = refused(class_edited)
    assert "what make_model=Net computes" in error
    assert "metric" not in error
