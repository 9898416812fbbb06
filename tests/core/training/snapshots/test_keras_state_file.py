"""Weights of a session on a Keras model, as files."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from keras import layers

from dlwidgets.session import Session

pytestmark = pytest.mark.keras


def trained(**options):
    """Return a session that took a few steps."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dropout(0.5), layers.Dense(2)])
    return Session(model, (torch.rand(20, 3), torch.arange(20) % 2), batch_size=5, threads=1, **options).step(3)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_keras_reads_what_is_saved_under_its_endings(tmp_path, name):
    session = trained(ema=0.9)
    with session._run.loop.average.swapped_in():
        averaged = session.model.get_weights()
    before = {name: one.clone() for name, one in session.model.state_dict().items()}
    path = session.save(tmp_path / name)
    assert all(torch.equal(one, before[key]) for key, one in session.model.state_dict().items())
    if name == "m.keras":
        found = keras.models.load_model(path)
    else:
        found = keras.models.clone_model(session.model)
        found.load_weights(path)
    assert all(map(np.array_equal, averaged, found.get_weights()))


def test_safetensors_have_the_names_of_the_layers(tmp_path):
    from safetensors.torch import load_file

    session = trained()
    found = load_file(session.save(tmp_path / "m.safetensors"))
    assert found.keys() == session.model.state_dict().keys()
    assert all(torch.equal(found[name], one) for name, one in session.model.state_dict().items())


def test_session_goes_on_bit_for_bit_from_a_checkpoint(tmp_path):
    keras.utils.clear_session()
    session = trained(seed=3, epochs=2, checkpoint_dir=tmp_path / "run").save_checkpoint()
    shutil.copytree(tmp_path / "run", tmp_path / "then")
    data = session._run.data.train.source
    keras.utils.clear_session()
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dropout(0.5), layers.Dense(2)])
    rest = Session.from_checkpoint(tmp_path / "then", model, (data.inputs, data.targets))
    assert rest.steps == session.steps == 3
    assert all(map(np.array_equal, session.fit().model.get_weights(), rest.fit().model.get_weights()))


def test_checkpoint_of_layers_with_other_numbers_says_what_to_type(tmp_path):
    session = trained(checkpoint_dir=tmp_path).save_checkpoint()
    data = session._run.data.train.source
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dropout(0.5), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"keras.utils.clear_session\(\) before the line that makes the model"):
        Session.from_checkpoint(tmp_path, model, (data.inputs, data.targets))
