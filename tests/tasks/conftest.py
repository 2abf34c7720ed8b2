import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Cores are shared, and tiny models gain nothing from more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory):
    from tasks_samples import save_text_model

    return save_text_model(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory):
    from tasks_samples import save_text_model

    return save_text_model(tmp_path_factory.mktemp("gpt2"), "gpt2")


@pytest.fixture(scope="session")
def marian_folder(tmp_path_factory):
    """A Marian that reads and writes words of `sequence_samples`."""
    from sequence_samples import save_sequence_model

    return save_sequence_model(tmp_path_factory.mktemp("marian"))


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory):
    """A ViT for 16 x 16 colour images, without an image processor."""
    from tasks_samples import save_base

    return save_base("vit", tmp_path_factory.mktemp("vit"))
