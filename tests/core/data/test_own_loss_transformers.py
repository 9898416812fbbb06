"""Models of Hugging Face train by the loss that they compute, as small as they can be."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.data import DataLoader

from dlwidgets.session import Session
from tests.core.export.script_runs import Runs, check_weights

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

RUNS = Runs()
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TOKENS = torch.randint(0, 50, (24, 8), generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(24) % 3
TARGET = {"class_labels": torch.tensor([1, 2]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2], [0.3, 0.3, 0.2, 0.4]])}
PICTURES = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(2))


def made(model, data, **options):
    return Session(model, data, **{"threads": 1, "seed": 3, "optimizer": "sgd", "lr": 0.01, **options})


@RUNS.add
def classifier():
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=50, max_position_embeddings=16, num_labels=3, **SMALL)
    model = transformers.BertForSequenceClassification(config)
    data = {"input_ids": TOKENS, "attention_mask": torch.ones_like(TOKENS), "labels": LABELS}
    return made(model, data, valid=0.25, batch_size=6, classes=list("abc"), trainable={"bert.embeddings": False}).fit(2)


@RUNS.add
def language_model():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0,
        loss_type="ForCausalLM",
    )  # fmt: skip
    data, frozen = ({"input_ids": TOKENS}, TOKENS), {"transformer.wte": False}
    return made(transformers.GPT2LMHeadModel(config), data, valid=0.25, batch_size=6, trainable=frozen).fit(2)


def join(samples):
    return {"pixel_values": torch.stack([image for image, _ in samples]), "labels": [target for _, target in samples]}


@RUNS.add
def detector():
    torch.manual_seed(0)
    config = transformers.YolosConfig(image_size=[32, 32], patch_size=8, num_labels=3, num_detection_tokens=5, **SMALL)
    loader = DataLoader([(one, TARGET) for one in PICTURES], batch_size=3, collate_fn=join)
    model = transformers.YolosForObjectDetection(config)
    return made(model, loader, valid=loader, trainable={"vit.embeddings": False}).fit(1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return RUNS.write(tmp_path_factory.mktemp("scripts"))


@pytest.mark.parametrize("name", RUNS)
def test_it_trains_freezes_and_is_written(written, name):
    check_weights(written, name)
    session = written[1][name]
    assert session.proof.changed == () and session.steps > 2


def test_a_classifier_has_scores(written):
    session = written[1]["classifier"]
    assert session.task == "multiclass" and session.scores.n_samples == 6
    assert session.predict({"input_ids": TOKENS[:5], "attention_mask": torch.ones_like(TOKENS[:5])}).shape == (5,)
    assert session.layers().rows[-1].path == "classifier"


def test_a_language_model_has_a_perplexity(written):
    found = written[1]["language_model"].evaluation
    assert found.metrics == {"perplexity": pytest.approx(math.exp(found.loss))}


def test_a_detector_has_its_losses(written):
    session = written[1]["detector"]
    assert {"loss_ce", "loss_bbox", "loss_giou"} <= {*session.history().columns}
    with torch.no_grad():
        losses = [session.model.eval()(**join([(one, TARGET) for one in part])).loss for part in PICTURES.split(3)]
    expected = sum(float(loss) * count for loss, count in zip(losses, (3, 3, 2))) / 8
    assert session.evaluate().loss == pytest.approx(expected)
