"""What a coordinator does on the disk once another one has taken its study over: nothing."""

import sqlite3

import pytest
from toy_studies import toy_study

from hpsearch.errors import LeaseLostError
from hpsearch.records import Outcome, Segment, SegmentResult
from hpsearch.runtime.coordinator import Coordinator
from hpsearch.runtime.messages import Checkpointed, Ended


def take_over(folder):
    connection = sqlite3.connect(folder / "toy" / "study.db")
    connection.execute("update hpsearch_lease set token = token + 1, owner = 'another'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize("kind", ["checkpoint", "end", "failure"])
def test_a_late_message_of_a_worker_changes_no_file(tmp_path, monkeypatch, kind):
    """The checkpoints are the other one's by now: it may have written, used or removed them."""

    def lose(coordinator):
        history = coordinator._add_trial()
        run = history.trials[0].runs[0]
        coordinator._record(Checkpointed("toy", run.key, 1, 1, {"weights": b"ours"}))
        before.update(files(tmp_path))
        take_over(tmp_path)
        segment = Segment(run, 0, run.horizon)
        late = {
            "checkpoint": Checkpointed("toy", run.key, 2, 2, {"weights": b"late"}),
            "end": Ended("toy", SegmentResult(segment, Outcome.OK, run.horizon)),
            "failure": Ended("toy", SegmentResult(segment, Outcome.FAILED, 1, "late")),
        }[kind]
        coordinator._record(late)

    before: dict[str, bytes] = {}
    monkeypatch.setattr(Coordinator, "run", lose)
    with pytest.raises(LeaseLostError, match="taken over"):
        toy_study(tmp_path).run(trials=2, devices="inline", progress=False)
    assert any(name.endswith("weights") for name in before)
    assert files(tmp_path) == before


def files(folder):
    """Return the content of every file of the study but its database, which is checked elsewhere.

    The list of a coordinator's own processes goes with it.
    """
    return {
        str(path): path.read_bytes()
        for path in (folder / "toy").rglob("*")
        if path.is_file() and not path.name.startswith("study.db") and path.name != "processes.json"
    }
