"""The display of a notebook: executed for real, it leaves one output that says how the study ended."""

import os
from pathlib import Path
from typing import Any

import pytest

from hpsearch.display.display import is_in_notebook

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

IMPORTS = "import logging, warnings\nwarnings.simplefilter('ignore')  # tqdm misses widgets\nimport optuna"

STUDY = """
from toy_studies import toy_study
def speak(study, trial):
    logging.getLogger("hpsearch").warning("trial <%d> is over", trial.number)
study = toy_study("runs", {"pause": 0.01}, callbacks=[speak])
study.run(trials=3, devices="inline")
study.was_interrupted
"""


INTERRUPTED = """
import os, signal
paused = toy_study("paused", {"pause": 0.01}, callbacks=[lambda *_: os.kill(os.getpid(), signal.SIGINT)])
for study in (paused, toy_study("never")):
    study.run(trials=3, devices="inline", progress=False)
"""
"""What the kernel is sent when its interrupt button is pressed, after the first trial."""

AFTERWARDS = "paused.was_interrupted, len(paused.result.history.trials), os.path.exists('never')"


class Listening(nbclient.NotebookClient):
    """A notebook's front end that counts what it is sent."""

    seen: tuple[str, ...] = ()

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        self.seen = (*self.seen, msg["msg_type"])
        return super().process_message(msg, cell, cell_index)


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Listening]:
    here = Path(__file__)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(str(path) for path in (here.parents[2], here.parents[1] / "runtime"))
    )
    cells = [nbformat.v4.new_code_cell(code) for code in (IMPORTS, STUDY, INTERRUPTED, AFTERWARDS)]
    cells[2].metadata.tags = ["raises-exception"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = Listening(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    return notebook.cells[1].outputs, client


def test_a_notebook_keeps_one_output_and_its_interrupt_pauses(
    executed: tuple[Any, Listening],
) -> None:
    outputs, client = executed
    kinds = [output["output_type"] for output in outputs]
    assert [kind for kind in kinds if kind != "stream"] == ["display_data", "execute_result"]
    html, text = outputs[0]["data"]["text/html"], outputs[0]["data"]["text/plain"]
    for shown in (html, text):
        assert "toy: 3/3 trials, 3 done, in " in shown
        assert "best f1_macro 0." in shown
        assert "95% interval" in shown
        assert "so far" not in shown
    assert "<script" not in html
    streams = [output for output in outputs if output["output_type"] == "stream"]  # a front end shows them as one
    assert {stream["name"] for stream in streams} == {"stderr"}
    assert "".join(stream["text"] for stream in streams) == "".join(f"trial <{n}> is over\n" for n in range(3))
    updates = client.seen.count("update_display_data")
    assert 2 <= updates < 300  # at most one a second, whatever is measured meanwhile
    assert client.seen.count("display_data") == 1
    said, error = client.nb.cells[2].outputs
    assert said["text"].startswith("Paused. Continue with: ")
    assert (error["ename"], error["evalue"]) == (
        "KeyboardInterrupt",
        "the study 'toy' was paused; run it again to continue",
    )
    assert client.nb.cells[3].outputs[0]["data"]["text/plain"].startswith("(True, ")
    assert client.nb.cells[3].outputs[0]["data"]["text/plain"].endswith(", False)")


def test_a_plain_process_is_no_notebook() -> None:
    assert not is_in_notebook()
