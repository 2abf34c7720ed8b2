import pytest
from adapter_samples import learner_of, text_task


@pytest.fixture(autouse=True, scope="package")
def _a_cache_of_their_own(tmp_path_factory):
    """Rows are prepared here, and not found where another version has left them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HPSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def learner(bert_folder, tmp_path_factory):
    """A learner of texts of three classes, over a BERT of three layers."""
    return learner_of(text_task(bert_folder), tmp_path_factory.mktemp("rows"))
