"""Averaged weights: torch's own, beside those that train."""



from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tests.core.controls.by_hand import X, Y, net, plain, same, session


def test_averaging_does_not_touch_training_and_is_torchs_own():
    model = net()
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    plain(model, after=average.update_parameters)
    made = session(ema=0.9).fit()
    same(made.model, model)
    average.module.eval()
    expected = average.module(X).double().softmax(1).detach()
    assert torch.equal(made.predict_scores(X), expected)
    assert made.evaluate().loss == pytest.approx(float(F.cross_entropy(average.module(X[:10]), Y[:10]).detach()))
    same(made.model, model)  # looking changed nothing
    made.ema = None
    made.step()
    assert torch.equal(made.predict_scores(X), made.model.eval()(X).double().softmax(1).detach())


def test_each_batch_is_judged_and_predicted_with_the_averaged_weights(tmp_path):
    many, truth = X.repeat(4, 1, 1, 1), Y.repeat(4)
    made = session(ema=0.9, valid=(many, truth)).fit()
    twin = net()
    twin.load_state_dict(torch.load(made.save(tmp_path / "model.pt"), weights_only=True))
    output = twin.eval()(many).detach()
    wanted = torch.bincount(truth * 4 + output.argmax(1), minlength=16).reshape(4, 4)
    found = made.evaluate()  # in batches of 64
    assert found.loss == pytest.approx(float(F.cross_entropy(output, truth)))
    assert found.scores.matrix().tolist() == wanted.tolist()
    assert torch.allclose(made.predict_scores(many), output.double().softmax(1))
    plainly = made.model.eval()(many).detach()
    assert not torch.equal(plainly.argmax(1), output.argmax(1))  # the weights that train say something else


def test_averaging_is_switched_in_mid_run():
    made = session()
    made.step(3)
    made.ema = 0.5
    made.step()
    assert torch.equal(made.predict(X[:5]), made.model.eval()(X[:5]).argmax(1))  # the first step is taken over
    assert made.ledger().note.tolist() == ["evaluations and predictions use the averaged weights"]
