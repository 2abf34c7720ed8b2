import pytest
from adapter_samples import learner_of, text_task


@pytest.fixture(scope="module")
def learner(bert_folder, tmp_path_factory):
    """A learner of texts of three classes, over a BERT of three layers."""
    return learner_of(text_task(bert_folder), tmp_path_factory.mktemp("rows"))
