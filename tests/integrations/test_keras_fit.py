"""Keras's own fit, followed and steered by a session: weights against those of fit alone, bit for bit."""

import _thread
import threading

import numpy as np
import pytest

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras
L, OPT = keras.layers, keras.optimizers
ANY = pytest.mark.any_backend
TORCH = pytest.mark.skipif(keras.config.backend() != "torch", reason="of the torch backend")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 96)
#: Steps in an epoch, at 16 samples each.
EACH = 6


def draw(optimizer=None, **compiled):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((6,)), L.Dense(8, activation="tanh", name="hidden"), L.BatchNormalization(name="norm"),
        L.Dropout(0.2, name="drop"), L.Dense(3, activation="softmax", name="last"),
    ], name="net")  # fmt: skip
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiled}
    model.compile(optimizer or OPT.Adam(0.01), **options)
    return model


def follow(model, **options):
    return dlw.Session(model, valid=(X, Y), **options)


def fit(model, *callbacks, epochs=2, x=X, **options):
    keras.utils.set_random_seed(1)  # of the order of the samples
    return model.fit(x, Y, epochs=epochs, batch_size=16, verbose=0, callbacks=[*callbacks], **options)


def flat(model):
    return np.concatenate([one.ravel() for one in model.get_weights()])


class After(keras.callbacks.Callback):
    """Does something right after a step, from 1; before a session hears of that step."""

    def __init__(self, step, work):
        super().__init__()
        self.step, self.work, self.taken = step, work, 0

    def on_train_batch_end(self, batch, logs=None):
        self.taken += 1
        if self.taken == self.step:
            self.work(self.model)  # which has its weights, on JAX too


def steered(work, step=4, make=draw, **options):
    """Return session and model of a fit in which `work(session)` is done right after a step."""
    model = make()
    session = follow(model, **options)
    fit(model, After(step, lambda _: work(session)), session.keras_callback())
    return session, model


def by_hand(work, step=4, make=draw):
    """Return the weights of a fit in which a plain callback does `work(model)`."""
    model = make()
    fit(model, After(step, work))
    return flat(model)


def in_background(session, model, epochs=1000):
    """Begin a fit beside; return its Future once a step was taken."""
    begun = threading.Event()
    session.observe(lambda change: session.steps and begun.set(), "pulse")
    future = session.in_background(lambda: fit(model, session.keras_callback(), epochs=epochs))
    assert begun.wait(20)
    return future


# -- a callback that changes nothing


@ANY
def test_a_callback_that_changes_nothing_leaves_the_weights_as_they_are():
    alone, model = draw(), draw()
    fit(alone)
    session = follow(model)
    fit(model, session.keras_callback())
    np.testing.assert_array_equal(flat(model), flat(alone))
    assert (session.status, session.steps, session.epoch) == ("done", 2 * EACH, 2)


@ANY
def test_what_keras_found_in_each_epoch_is_in_the_history():
    model = draw()
    session = follow(model)
    found = fit(model, session.keras_callback(), validation_data=(X, Y)).history
    rows = session.history().set_index("epoch")
    for epoch in (1, 2):
        one = rows.loc[epoch]
        assert one["loss"].mean() == pytest.approx(found["loss"][epoch - 1], rel=1e-5)
        assert one["train_accuracy"].iloc[-1] == pytest.approx(found["accuracy"][epoch - 1])
        assert one["val_loss"].iloc[-1] == pytest.approx(found["val_loss"][epoch - 1])
        # The session's own evaluation, of the same data and weights.
        assert one["valid_loss"].iloc[-1] == pytest.approx(found["val_loss"][epoch - 1], rel=1e-5)
        assert one["accuracy"].iloc[-1] == pytest.approx(found["val_accuracy"][epoch - 1])


@ANY
def test_scores_are_those_of_the_weights_at_the_end():
    model = draw()
    session = follow(model, classes=["a", "b", "c"])
    fit(model, session.keras_callback())
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(session.scores.y_score, expected, rtol=1e-5, atol=1e-6)
    assert session.scores.classes == ("a", "b", "c")


@TORCH
def test_the_loss_of_each_step_is_that_of_its_batch():
    model = draw()
    session = follow(model)
    losses = []
    own = model.compute_loss
    model.compute_loss = lambda *given, **named: losses.append(own(*given, **named)) or losses[-1]
    fit(model, session.keras_callback())
    np.testing.assert_array_equal(session.history()["loss"], [one.item() for one in losses if not one.is_meta])


def test_validation_of_fit_stands_for_an_evaluation_where_the_session_makes_none():
    model = draw()
    session = follow(model, evaluate_every=None)
    found = fit(model, session.keras_callback(), validation_data=(X, Y)).history
    rows = session.history().dropna(subset=["valid_loss"])
    assert rows.index.tolist() == [EACH, 2 * EACH]
    assert rows["valid_loss"].tolist() == pytest.approx(found["val_loss"])
    assert rows["accuracy"].tolist() == pytest.approx(found["val_accuracy"])


# -- changes


@ANY
def test_a_rate_acts_from_exactly_the_next_step():
    session, model = steered(lambda session: setattr(session, "lr", 0.002))
    expected = by_hand(lambda model: setattr(model.optimizer, "learning_rate", 0.002))
    np.testing.assert_array_equal(flat(model), expected)
    assert session.history()["lr"].tolist() == pytest.approx([0.01] * 4 + [0.002] * 8)
    assert session.ledger()[["step", "name", "applied"]].values.tolist() == [[4, "lr", 0.002]]


@TORCH
@pytest.mark.parametrize(
    ("wish", "attribute", "limit"), [(0.05, "global_clipnorm", 0.05), (("value", 0.004), "clipvalue", 0.004)]
)
def test_clipping_acts_from_exactly_the_next_step(wish, attribute, limit):
    session, model = steered(lambda session: setattr(session, "clip", wish))
    np.testing.assert_array_equal(flat(model), by_hand(lambda model: setattr(model.optimizer, attribute, limit)))
    assert (flat(model) != by_hand(lambda model: None)).any()
    assert session.clipping() == {"steps": 8, "clipped": 8, "share": 1.0}


@TORCH
def test_clipping_of_compile_is_what_is_in_force_and_can_be_switched_off():
    def make():
        return draw(OPT.Adam(0.01, global_clipnorm=0.05))

    shown = []
    session, model = steered(lambda session: (shown.append(session.applied["clip"]), setattr(session, "clip", None)),
                             make=make)
    assert shown == [("norm", 0.05)]
    expected = by_hand(lambda model: setattr(model.optimizer, "global_clipnorm", None), make=make)
    np.testing.assert_array_equal(flat(model), expected)


@TORCH
def test_a_rate_scales_what_keras_own_schedule_gives():
    rates = OPT.schedules.CosineDecay(0.1, 20)
    session, model = steered(
        lambda session: setattr(session, "lr", session.applied["lr"] / 2), make=lambda: draw(OPT.SGD(rates))
    )
    scheduled = np.array([float(rates(step)) for step in range(12)])
    expected = scheduled * np.where(np.arange(12) < 4, 1, 0.5)
    # Asked for was half of the rate that was told last.
    lr = session.history()["lr"].values
    np.testing.assert_allclose(lr[:4], expected[:4], rtol=1e-6)
    np.testing.assert_allclose(lr[4:] / scheduled[4:], lr[4] / scheduled[4], rtol=1e-5)
    assert lr[4] == pytest.approx(session.ledger()["applied"][0])
    assert model.optimizer._learning_rate is rates


@ANY
def test_a_schedule_of_the_session_moves_keras_rate():
    session, model = steered(lambda session: setattr(session, "schedule", ("linear", {"end_factor": 0.1})))
    lr = session.history()["lr"].values
    assert lr[:5].tolist() == pytest.approx([0.01] * 5)
    assert (np.diff(lr[4:]) < 0).all()
    assert lr[-1] == pytest.approx(0.01 * (1 - 0.9 * 7 / 8))


@ANY
def test_what_other_callbacks_make_of_the_rate_is_told():
    model = draw()
    session = follow(model)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))
    fit(model, session.keras_callback(), schedule)
    assert session.history()["lr"].tolist() == pytest.approx([0.01] * EACH + [0.005] * EACH)
    assert session.applied["lr"] == pytest.approx(0.005)


@TORCH
def test_dropout_acts_from_exactly_the_next_step():
    session, model = steered(lambda session: setattr(session, "dropout", 0.6))
    np.testing.assert_array_equal(flat(model), by_hand(lambda model: setattr(model.get_layer("drop"), "rate", 0.6)))
    assert (flat(model) != by_hand(lambda model: None)).any()
    assert session.ledger()[["step", "name"]].values.tolist() == [[4, "dropout"]]


@TORCH
def test_freezing_acts_from_exactly_the_next_step():
    session, model = steered(lambda session: session.freeze("hidden"))
    expected = by_hand(lambda model: setattr(model.get_layer("hidden"), "trainable", False))
    np.testing.assert_array_equal(flat(model), expected)
    assert session.proofs(now=True)["holds"].all()


@ANY
def test_what_is_asked_for_before_fit_holds_from_its_first_step():
    alone, given, asked = draw(OPT.Adam(0.002)), draw(), draw()
    fit(alone)
    session = follow(given, lr=0.002)
    fit(given, session.keras_callback())
    other = follow(asked)
    other.lr = 0.002
    fit(asked, other.keras_callback())
    for model in (given, asked):
        np.testing.assert_array_equal(flat(model), flat(alone))
    assert (session.lr, other.lr, session.applied["lr"]) == (0.002, 0.002, 0.002)


@TORCH
def test_what_the_optimizer_does_not_know_cannot_be_unfrozen():
    def make():
        model = draw()
        model.get_layer("hidden").trainable = False
        model.compile(OPT.Adam(0.01), "sparse_categorical_crossentropy")
        return model

    session, model = steered(lambda session: session.unfreeze("hidden"), make=make)
    assert "was made without these weights" in session.rejected["trainable"]
    np.testing.assert_array_equal(flat(model), by_hand(lambda model: None, make=make))
    assert not model.get_layer("hidden").trainable


@TORCH
def test_the_norm_of_each_weight_that_keras_clips_by_is_told():
    session, model = steered(lambda session: None, make=lambda: draw(OPT.Adam(0.01, clipnorm=0.1)))
    assert any("clipnorm=0.1" in one for one in session.notes)
    assert model.optimizer.clipnorm == 0.1


@ANY
def test_what_fit_does_not_let_change_is_rejected_with_the_reason():
    says = {
        "batch_size": "batch_size= is an argument of model.fit", "optimizer": "compiled optimizer",
        "accumulate": "gradient_accumulation_steps", "threads": "torch.set_num_threads", "clip": "",
    }  # fmt: skip
    wishes = {"batch_size": 8, "optimizer": "sgd", "accumulate": 2, "threads": 3, "clip": "adaptive"}
    session, model = steered(lambda session: [setattr(session, *one) for one in wishes.items()])
    assert session.rejected.keys() == wishes.keys()
    assert all(says[name] in why for name, why in session.rejected.items())
    np.testing.assert_array_equal(flat(model), by_hand(lambda model: None))
    assert not session.why_not("batch_size")  # nothing takes the steps any more


@ANY
def test_how_many_epochs_is_refused_at_once():
    said = []

    def change(session):
        with pytest.raises(ValueError, match="epochs= is an argument of model.fit") as caught:
            session.epochs = 5
        said.append(caught)

    steered(change)
    assert said


@ANY
@pytest.mark.skipif(keras.config.backend() == "torch", reason="of TensorFlow and JAX")
def test_clipping_that_keras_would_ignore_acts_since_the_step_is_traced_anew():
    def ignored(model):
        model.optimizer.global_clipnorm = 0.05

    def make():
        return draw(OPT.Adam(0.01), run_eagerly=True)

    session, model = steered(lambda session: setattr(session, "clip", 0.05))
    np.testing.assert_array_equal(by_hand(ignored), by_hand(lambda model: None))
    np.testing.assert_allclose(flat(model), by_hand(ignored, make=make), rtol=1e-4, atol=1e-6)
    assert "is traced anew" in session.ledger()["note"][0]


@ANY
@pytest.mark.skipif(keras.config.backend() == "torch", reason="of TensorFlow and JAX")
def test_freezing_a_traced_step_is_rejected():
    session, model = steered(lambda session: session.freeze("hidden"))
    assert "traced its step" in session.rejected["trainable"]
    np.testing.assert_array_equal(flat(model), by_hand(lambda model: None))


@ANY
@pytest.mark.skipif(keras.config.backend() == "torch", reason="of TensorFlow and JAX")
def test_what_another_thread_asks_of_a_traced_step_is_refused_in_right_words():
    model = draw()
    session = follow(model)
    future = in_background(session, model)
    session.pause()  # on JAX the layers have no weights meanwhile
    session.freeze("hidden")
    session.step()
    assert "traced its step" in session.rejected["trainable"]
    with pytest.raises(ValueError, match="drops in a step that Keras traces"):
        session.dropout = 0.5
    session.stop()
    future.result(20)


@ANY
def test_the_text_of_a_session_counts_as_keras_does():
    model = draw()
    assert f"{model.count_params()} parameters, 99 of them trainable" in repr(follow(model))


# -- what the layers do


def watched(make=draw, **options):
    """Return session and what was measured of the layers, by step."""
    model, looks = make(), {}
    session = follow(model, **options)
    session.observe(lambda change: change["new"] and looks.update({change["new"].step: change["new"]}), "layer_stats")
    # The facts of a step are told once the training thread works after it.
    ask = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs=None: session.at_step(lambda: None))
    fit(model, ask, session.keras_callback())
    return session, looks


@TORCH
@pytest.mark.parametrize("options", [{}, {"global_clipnorm": 0.05}, {"weight_decay": 0.1}])
def test_layers_are_measured_as_by_hand(options):
    def make():
        return draw(OPT.SGD(0.1, **options))

    def norm(*tensors):
        return np.sqrt(sum(float((one.detach().numpy() ** 2).sum()) for one in tensors))

    model, before, found = make(), [], []

    def measure(model):
        layers = [model.get_layer(name) for name in ("hidden", "norm", "last")]
        now = [[one.value.detach().clone() for one in layer.trainable_variables] for layer in layers]
        grads = [[one.value.grad for one in layer.trainable_variables] for layer in layers]
        limit, whole = options.get("global_clipnorm"), norm(*sum(grads, []))
        scale = 1 if limit is None else limit / max(limit, whole)
        moved = [norm(*(a - b for a, b in zip(*two))) / norm(*two[0]) for two in zip(now, before)] if before else []
        found[:], before[:] = [[norm(*one) * scale for one in grads], moved], now

    fit(model, After(4, measure), After(5, measure))
    looks = watched(make)[1]
    assert looks[5].paths == ["hidden", "norm", "last"]
    np.testing.assert_allclose(looks[5].grad_norm, found[0], rtol=1e-4)
    np.testing.assert_allclose(looks[5].update_ratio, found[1], rtol=1e-3)


@TORCH
def test_checks_of_data_say_that_fit_alone_has_it():
    session, _ = watched()
    said = session.diagnose().set_index("check")["what"]
    assert "data that it alone has" in said["inputs_not_scaled"]


@TORCH
def test_dead_units_of_a_fit_are_counted():
    def make():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((6,)), L.Dense(16, activation="relu", name="hidden"), L.Dense(3)])
        kernel, bias = model.layers[0].get_weights()
        model.layers[0].set_weights([kernel, np.where(np.arange(16) < 12, -100, bias)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    session, looks = watched(make)
    assert {path: dead for path, dead in zip(looks[5].dead.paths, looks[5].dead.dead)} == {"hidden": 12}
    assert session.why_not_measured == ""
    assert any(one.rule == "dead_relu" and one.layer == "hidden" for one in session.findings)


@TORCH
def test_of_steps_that_gather_gradients_the_last_is_measured():
    looks = watched(lambda: draw(OPT.SGD(0.1, gradient_accumulation_steps=3)))[1]
    assert looks
    assert all(step % 3 == 0 and (one.update_ratio > 0).all() for step, one in looks.items())


@ANY
@pytest.mark.skipif(keras.config.backend() == "torch", reason="of TensorFlow and JAX")
def test_why_layers_are_not_measured_is_told():
    session, looks = watched()
    assert not looks
    assert "shows no gradients or activations" in session.why_not_measured
    said = session.diagnose().set_index("check")["what"]
    for rule in ("dead_relu", "gradient_zero", "gradient_vanishing", "initialisation"):
        assert said[rule] == session.why_not_measured
    table = dlw.LayerTable(session)
    assert table.project()["moment"]["why_not"] == session.why_not_measured
    table.close()


# -- holding and ending it


@ANY
def test_a_pause_holds_fit_and_resume_goes_on_to_the_same_weights():
    model = draw()
    session = follow(model, evaluate_every=None)
    future = in_background(session, model, epochs=15)
    session.pause()
    taken, held = session.steps, flat(model)
    assert session.status == "paused"
    session.step(2)
    assert session.steps == taken + 2
    assert (flat(model) != held).any()
    session.resume()
    future.result(20)
    alone = draw()
    fit(alone, epochs=15)
    np.testing.assert_array_equal(flat(model), flat(alone))
    assert session.status == "done"


@ANY
def test_stop_ends_fit_after_the_step_under_way():
    model = draw()
    session = follow(model)
    future = in_background(session, model)
    session.stop()
    steps, before = session.steps, flat(model)
    assert len(future.result(20).epoch) == -(-steps // EACH) < 1000
    assert session.status == "stopped"
    assert (session.steps, session.host) == (steps, "")
    np.testing.assert_array_equal(flat(model), before)


@ANY
def test_stop_ends_a_fit_that_is_paused():
    model = draw()
    session = follow(model)
    future = in_background(session, model)
    session.pause()
    session.stop()
    future.result(20)
    assert session.status == "stopped"


@ANY
def test_early_stopping_of_the_session_ends_fit():
    model = draw(OPT.SGD(0.0))
    session = follow(model, early_stopping=2)
    assert len(fit(model, session.keras_callback(), epochs=20).epoch) == 3
    assert session.status == "done"


@ANY
def test_progress_counts_the_steps_of_fit():
    seen = []
    session, _ = steered(lambda session: seen.append(session.progress()))
    assert (seen[0]["steps"], seen[0]["total"], seen[0]["epochs"]) == (3, 2 * EACH, 2)


@TORCH
def test_going_back_between_two_steps_brings_back_weights_and_optimizer():
    def state(model):
        return [np.array(one.value.detach()) for one in (*model.variables, *model.optimizer.variables)]

    model = draw()
    session = follow(model)
    future = in_background(session, model)
    session.pause()
    session.at_step(lambda: session.timeline.take("change")).result()
    step, before = session.steps, state(model)
    session.step(3)
    session.rewind(step)
    for one, other in zip(state(model), before):
        np.testing.assert_array_equal(one, other)
    assert session.steps == step
    with pytest.raises(ValueError, match="takes each step once"):
        session.step(3).rewind(step + 1)
    session.stop()
    future.result(20)


def test_a_try_of_settings_is_refused_while_fit_takes_the_steps():
    model = draw()
    session = follow(model)
    future = in_background(session, model)
    with pytest.raises(ValueError, match="Keras's fit takes the steps"):
        session.find_lr()
    session.stop()
    future.result(20)


# -- in the panel


@ANY
def test_the_panel_greys_what_fit_does_not_let_change_and_says_why():
    from dlwidgets.views.training.view import TrainingPanel

    seen = {}

    def look(session):
        seen.update({name: getattr(panel, name).disabled for name in ("lr", "batch_size", "clip")})
        seen["beside"] = panel._facts.project()["beside"]["batch_size"]
        seen["rows"] = {name: one["off"] for name, one in panel._sections.project()["rows"].items()}
        seen["about"] = panel._head.project()["run"]["about"]

    model = draw()
    session = follow(model)
    panel = TrainingPanel(session)
    fit(model, After(4, lambda _: look(session)), session.keras_callback())
    assert (seen["lr"], seen["batch_size"], seen["clip"]) == (False, True, False)
    assert "batch_size= is an argument of model.fit" in seen["beside"]
    assert "epochs= is an argument of model.fit" in seen["rows"]["epochs"]
    assert seen["about"].endswith("Keras's fit")
    assert not panel.batch_size.disabled
    panel._press("toggle")
    assert "was given no train=" in panel._head.project()["said"]
    panel.close()


@ANY
def test_every_view_shows_a_run_of_fit():
    model = draw()
    session = follow(model)
    dashboard = dlw.Dashboard(session)
    fit(model, session.keras_callback())
    assert session.findings is not None
    for view in (dlw.Curves, dlw.LayerTable, dlw.ConfusionGrid, dlw.ActivationBrowser, dlw.Doctor, dlw.TrainingPanel):
        made = view(session)
        made.figure()
        made.close()
    dashboard.close()


@TORCH
def test_a_checkpoint_goes_on_in_another_fit_bit_for_bit(tmp_path):
    alone, model, resumed = draw(), draw(), draw()
    for one in (alone, model, resumed):
        one.get_layer("drop").rate = 0.0  # a model that first trains draws more random numbers than this
    fit(alone, shuffle=False, epochs=4)
    session = follow(model, checkpoint_dir=tmp_path)
    fit(model, session.keras_callback(), shuffle=False)
    session.close()
    session = dlw.Session.from_checkpoint(tmp_path, resumed, None, (X, Y))
    np.testing.assert_array_equal(flat(resumed), flat(model))
    fit(resumed, session.keras_callback(), shuffle=False)
    np.testing.assert_array_equal(flat(resumed), flat(alone))
    assert (session.steps, session.epoch, session.status) == (4 * EACH, 4, "done")


# -- a fit that ends otherwise, another, a second


@ANY
def test_what_the_step_raises_is_told_and_raised():
    model = draw()
    session = follow(model)
    wrong = np.where(np.arange(96) < 48, Y, 99)
    if keras.config.backend() != "torch":
        pytest.skip("unknown classes are no error there")
    # Keras 3.11 makes them one-hot first, and says so in other words.
    with pytest.raises((IndexError, RuntimeError), match="99|num_classes"):
        model.fit(X, wrong, batch_size=16, shuffle=False, verbose=0, callbacks=[session.keras_callback()])
    assert (session.status, session.steps, session.host) == ("failed", 3, "")
    assert "99" in session.error or "num_classes" in session.error


@ANY
def test_a_loss_that_is_not_finite_ends_fit_with_a_sentence():
    broken = np.where(np.arange(96)[:, None] < 48, X, np.nan)
    model = draw()
    session = follow(model)
    with pytest.raises(ArithmeticError, match="The loss became nan in step 4 of Keras's fit"):
        fit(model, session.keras_callback(), x=broken, shuffle=False)
    assert session.status == "failed"


@ANY
def test_an_interrupt_ends_the_run_and_another_fit_goes_on():
    model = draw()
    session = follow(model)
    callback = session.keras_callback()
    with pytest.raises(KeyboardInterrupt):
        fit(model, callback, After(3, lambda _: _thread.interrupt_main()))
    ended = threading.Event()
    session.observe(lambda change: change["new"] or ended.set(), "host")
    assert session.host == "" or ended.wait(5)
    assert session.status == "stopped"
    assert any("was left before its end" in one for one in session.notes)
    steps = session.steps
    fit(model, callback)
    assert (session.status, session.steps) == ("done", steps + 2 * EACH)


@ANY
def test_a_callback_serves_one_fit_after_another():
    alone, model = draw(), draw()
    session = follow(model)
    callback = session.keras_callback()
    for one, more in ((alone, ()), (model, (callback,))):
        fit(one, *more)
        fit(one, *more, epochs=3, initial_epoch=2)
    np.testing.assert_array_equal(flat(model), flat(alone))
    assert (session.steps, session.epoch, session.status) == (3 * EACH, 3, "done")


@ANY
def test_a_callback_of_another_models_session_is_refused():
    session = follow(draw())
    with pytest.raises(ValueError, match="of a session of another model"):
        fit(draw(), session.keras_callback())


def test_a_torch_model_is_told_how_it_is_trained():
    import torch

    session = dlw.Session(torch.nn.Linear(6, 3), train=(X, Y))
    with pytest.raises(TypeError, match=r"session.start\(\) trains it"):
        session.keras_callback()


@ANY
def test_a_session_of_fit_says_what_it_is_of():
    session = follow(draw())
    assert "what model.fit brings" in repr(session)
    assert "that of model.compile" in repr(session)
    assert "session.keras_callback()" in repr(session)


@ANY
def test_a_session_without_data_to_train_on_takes_no_steps_by_itself():
    session = follow(draw())
    for order in (session.start, session.step, session.fit):
        with pytest.raises(ValueError, match="was given no train="):
            order()


@TORCH
def test_a_session_with_data_of_its_own_trains_on_after_fit():
    model = draw()
    session = dlw.Session(model, train=(X, Y), valid=(X, Y), batch_size=16)
    fit(model, session.keras_callback())
    session.fit(1, progress=False)
    assert (session.status, session.steps, session.epoch) == ("done", 3 * EACH, 3)
    assert session.why_not("batch_size") == ""
    with pytest.raises(ValueError, match="no script can repeat that"):
        session.to_script("never.py")


@ANY
def test_fit_is_as_it_was_once_it_has_ended():
    model = draw()
    fit(model, epochs=1)
    before = model.train_function
    fit(model, follow(model).keras_callback(), epochs=1)
    assert model.train_function is before
    assert "update_state" not in vars(model._loss_tracker)
