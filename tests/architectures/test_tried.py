"""What a study finds out before its first trial, of every architecture that transformers can classify with."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import IMAGES, NOT_BUILT, TEXTS, save_small, small_config
from sweep import task_over
from transformers import AutoModelForSequenceClassification

from hpsearch.errors import TaskError
from hpsearch.tasks.pretrained import quiet
from hpsearch.tasks.tokens import position_limit
from hpsearch.training.base_model import BaseModel
from hpsearch.training.fine_tune import FineTune
from hpsearch.training.numerics import detect_environment, resolve_numerics
from hpsearch.training.rehearsal import rehearse

pytestmark = pytest.mark.extended

NOT_IN_BF16 = {"deberta", "xmod"}
"""Architectures that compute in fp32 and not in bf16, on a CPU."""

NOT_IN_FP16 = {"deberta", "xmod"}
"""The same for fp16 with loss scaling."""

WITHOUT_END = {"tapas", "ctrl", "mpt", "reformer"}
"""Tapas counts positions within cells; the others have an end that no table of theirs shows, so it is tried."""

ARCHITECTURES = [(name, "text") for name in TEXTS] + [(name, "image") for name in IMAGES if name not in TEXTS]


@pytest.mark.parametrize(("name", "kind"), [each for each in ARCHITECTURES if each[0] not in NOT_BUILT])
def test_an_architecture_is_refused_in_words_or_can_be_trained(name: str, kind: str, tmp_path: Path) -> None:
    """Also with a last batch of one row, in fp32 and, but for a few that are known, in bf16 and fp16."""
    environment = detect_environment("cpu")
    try:
        task = task_over(kind, save_small(name, kind, tmp_path / "model"))
        prepared = task.prepare(tmp_path / "cache")
        base = BaseModel(task.learner(prepared), "cpu")
        config = task.complete({"batch_size": 8, "epochs": 1})
        rehearse(base, resolve_numerics(environment, "fp32"), config)
    except TaskError as error:
        assert kind == "image" or "image_size" not in str(error)  # noqa: PT017
        return
    for precision, without in (("fp16", NOT_IN_FP16), ("bf16", NOT_IN_BF16)):
        numerics = resolve_numerics(environment, precision)
        if name in without:
            with pytest.raises(TaskError, match=f"cannot be trained in {precision}"):
                rehearse(base, numerics, config)
            numerics = resolve_numerics(environment, "fp32")
        rehearse(base, numerics, config)
    run = FineTune(
        base.learner,
        config,
        train_rows=np.arange(9),
        held_out_rows=np.arange(9, 12),
        seed=0,
        evaluations_per_epoch=1,
        numerics=numerics,
        device="cpu",
        base=base,
    )
    assert [item for item in run.advance(1) if item is not None]


@pytest.mark.parametrize("name", [name for name in TEXTS if name not in NOT_BUILT])
def test_the_limit_of_positions_is_where_the_model_ends(name: str) -> None:
    with quiet():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(small_config(name)).eval()
    limit = position_limit(model)

    def takes(tokens: int) -> bool:
        ids = torch.full((1, tokens), 7)
        ids[:, -1] = 3
        try:
            with torch.no_grad():
                model(input_ids=ids, attention_mask=torch.ones_like(ids))
        except (RuntimeError, IndexError, ValueError, TypeError):
            return False
        return True

    if not takes(32):
        pytest.skip("this small model takes no texts at all, and is refused with the reason")
    assert limit is None or takes(limit)
    if name not in WITHOUT_END:
        assert not takes(limit + 1) if limit is not None else takes(300)
