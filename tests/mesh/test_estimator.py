"""The Estimator on a model that can be checked by hand: `w` fitted to `y = w x`."""

import os

import pytest

from tests.mesh.tf1 import in_tf1

X, Y = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.5, 6.0, 7.0, 9.0]
RATE = 0.01


def toy_estimator(model_dir, save_steps=2):
    import tensorflow.compat.v1 as tf

    from primer_tf.mesh.runtime import estimator, specs

    def model_fn(features, labels, mode, params, config):
        assert labels is None and params == {"rate": RATE} and config.model_dir == model_dir
        w = tf.get_variable("w", [], initializer=tf.zeros_initializer())
        seen = tf.get_variable("seen", [20], initializer=tf.zeros_initializer(), trainable=False)
        step = tf.train.get_global_step()
        product = w * features["x"]
        if mode == specs.ModeKeys.PREDICT:
            return specs.EstimatorSpec(
                mode, predictions={"product": product}, scaffold_fn=tf.train.Scaffold
            )
        loss = tf.reduce_mean((product - features["y"]) ** 2)
        if mode == specs.ModeKeys.EVAL:
            error = tf.abs(product - features["y"])
            return specs.EstimatorSpec(
                mode,
                loss=loss,
                eval_metrics=(lambda error: {"error": tf.metrics.mean(error)}, [error]),
            )
        note = tf.assign_add(seen, tf.one_hot(step, 20) * features["x"][0])
        with tf.control_dependencies([note]):
            train_op = tf.train.GradientDescentOptimizer(RATE).minimize(loss, step)
        # As in Mesh TensorFlow, the model function brings the saver and its hook.
        saver = tf.train.Saver(tf.global_variables(), max_to_keep=3)
        tf.add_to_collection(tf.GraphKeys.SAVERS, saver)
        saving = tf.train.CheckpointSaverHook(model_dir, save_steps=save_steps, saver=saver)
        return specs.EstimatorSpec(mode, loss=loss, train_op=train_op, training_hooks=[saving])

    return estimator.Estimator(
        model_fn, config=specs.RunConfig(model_dir=model_dir), params={"rate": RATE}
    )


def batches(epochs=None, size=1):
    """Returns an input function: the points in order, `size` at a time."""
    import tensorflow.compat.v1 as tf

    def input_fn(params):
        assert params == {"rate": RATE}
        return tf.data.Dataset.from_tensor_slices({"x": X, "y": Y}).repeat(epochs).batch(size)

    return input_fn


def descended(steps, w=0.0):
    """Returns `w` after steps of gradient descent on the points in order."""
    for step in range(steps):
        x, y = X[step % 5], Y[step % 5]
        w -= RATE * 2 * (w * x - y) * x
    return w


@in_tf1
def test_training_descends_saves_and_resumes(tmp_path):
    import numpy as np
    import tensorflow.compat.v1 as tf

    model = toy_estimator(str(tmp_path))
    assert model.latest_checkpoint() is None
    model.train(batches(), max_steps=5)
    assert model.latest_checkpoint() == str(tmp_path / "model.ckpt-5")
    np.testing.assert_allclose(model.get_variable_value("w"), descended(5), rtol=1e-5)
    assert set(model.get_variable_names()) == {"global_step", "seen", "w"}

    # A resumed run starts at the beginning of the data, so five more steps are one more round.
    model.train(batches(), max_steps=10)
    np.testing.assert_allclose(model.get_variable_value("w"), descended(10), rtol=1e-5)
    saved = tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths
    assert [path.rsplit("-")[-1] for path in saved] == ["7", "9", "10"]

    # `max_steps` is a total, `steps` is an addition.
    model.train(batches(), max_steps=10)
    assert model.get_variable_value("global_step") == 10
    model.train(batches(), steps=2)
    assert model.get_variable_value("global_step") == 12


@in_tf1
def test_only_the_folders_own_checkpoints_are_deleted(tmp_path):
    """TensorFlow deletes by pattern: for a folder `v?` it would also delete files in `v1`."""
    import os

    from primer_tf.literal_paths import literal

    other, folder = tmp_path / "v1", tmp_path / "v?"
    other.mkdir()
    toy_estimator(str(other), save_steps=1).train(batches(), max_steps=2)
    before = sorted(os.listdir(other))
    toy_estimator(literal(folder), save_steps=1).train(batches(), max_steps=6)
    assert sorted(os.listdir(other)) == before
    assert sorted(p.name for p in folder.iterdir() if p.suffix == ".index") == [
        f"model.ckpt-{step}.index" for step in (4, 5, 6)
    ]


@in_tf1
def test_evaluation_averages_over_the_data(tmp_path):
    import numpy as np
    import tensorflow.compat.v1 as tf

    from primer_tf.errors import UserError

    model = toy_estimator(str(tmp_path))
    with pytest.raises(UserError, match="no checkpoint"):
        model.evaluate(batches(1))
    model.train(batches(), max_steps=4)
    newest, older = descended(4), descended(2)
    for w, arguments, rows in (
        (newest, {}, 5),
        (newest, {"steps": 1}, 2),
        (older, {"checkpoint_path": str(tmp_path / "model.ckpt-2")}, 5),
    ):
        x, y = np.array(X[:rows]), np.array(Y[:rows])
        result = model.evaluate(batches(1, size=2), name="toy", **arguments)
        np.testing.assert_allclose(result["error"], np.abs(w * x - y).mean(), rtol=1e-5)
        losses = [((w * x - y)[i : i + 2] ** 2).mean() for i in range(0, rows, 2)]
        np.testing.assert_allclose(result["loss"], np.mean(losses), rtol=1e-5)
        assert result["global_step"] == (4 if w == newest else 2)
    written = {
        (event.step, value.tag): value.simple_value
        for events in (tmp_path / "eval_toy").iterdir()
        for event in tf.train.summary_iterator(str(events))
        for value in event.summary.value
    }
    assert written[2, "error"] == pytest.approx(result["error"])
    with pytest.raises(UserError, match="data is empty"):
        model.evaluate(batches(0))


@in_tf1
def test_prediction_gives_each_example(tmp_path):
    import numpy as np

    model = toy_estimator(str(tmp_path))
    model.train(batches(), max_steps=4)
    for w, path in ((descended(4), None), (descended(2), str(tmp_path / "model.ckpt-2"))):
        found = list(model.predict(batches(1, size=2), checkpoint_path=path))
        np.testing.assert_allclose([row["product"] for row in found], w * np.array(X), rtol=1e-5)


@in_tf1
def test_export_is_a_saved_model(tmp_path):
    import numpy as np
    import tensorflow.compat.v1 as tf

    from primer_tf.mesh.runtime import specs

    def receive():
        x = tf.placeholder(tf.float32, [None])
        return specs.ServingInputReceiver({"x": x}, {"x": x})

    model = toy_estimator(str(tmp_path / "model"))
    model.train(batches(), max_steps=4)
    exports = str(tmp_path / "exports")
    first, second = (model.export_saved_model(exports, receive) for _ in range(2))
    older = model.export_saved_model(
        exports, receive, checkpoint_path=str(tmp_path / "model" / "model.ckpt-2")
    )
    assert sorted(os.listdir(exports)) == sorted(map(os.path.basename, (first, second, older)))
    for path, w in ((second, descended(4)), (older, descended(2))):
        with tf.Graph().as_default(), tf.Session() as session:
            loaded = tf.saved_model.load(session, ["serve"], path)
            signature = loaded.signature_def["serving_default"]
            product = session.run(
                signature.outputs["product"].name, {signature.inputs["x"].name: [1.0, 10.0]}
            )
        np.testing.assert_allclose(product, [w, 10 * w], rtol=1e-5)


@in_tf1
def test_input_position_is_saved_and_restored_with_the_model(tmp_path):
    from primer_tf.mesh.runtime.hooks import CheckpointInputPipelineHook

    for kept in (True, False):
        model = toy_estimator(str(tmp_path / str(kept)))
        for steps in (3, 7):
            hooks = [CheckpointInputPipelineHook(model)] if kept else []
            model.train(batches(), hooks=hooks, max_steps=steps)
        resumed = X[3:] + X[:2] if kept else X[:4]
        assert list(model.get_variable_value("seen")[:7]) == X[:3] + resumed[:4]
    # Positions are deleted with their checkpoints.
    names = os.listdir(tmp_path / "True")
    positions = {name.split(".")[1] for name in names if name.startswith("input.ckpt")}
    models = {name.split(".")[1] for name in names if name.startswith("model.ckpt")}
    assert positions == models == {"ckpt-3", "ckpt-5", "ckpt-7"}


@in_tf1
def test_sigterm_saves_and_stops(tmp_path):
    import signal

    import tensorflow.compat.v1 as tf

    class TerminateAt3(tf.train.SessionRunHook):
        def after_run(self, run_context, run_values):
            if run_context.session.run(tf.train.get_global_step()) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    model = toy_estimator(str(tmp_path), save_steps=1000)
    model.train(batches(), hooks=[TerminateAt3()], max_steps=1000)
    assert model.get_variable_value("global_step") in (3, 4)
    assert model.get_variable_value("w") == pytest.approx(
        descended(int(model.get_variable_value("global_step"))), rel=1e-5
    )
    assert signal.getsignal(signal.SIGTERM) == handler


@in_tf1
def test_errors_for_a_tpu_and_a_loss_of_nan(tmp_path):
    import tensorflow.compat.v1 as tf

    from primer_tf.errors import UserError
    from primer_tf.mesh.runtime import estimator

    with pytest.raises(UserError, match="hardware/cpu.gin"):
        estimator.Estimator(None, model_dir=str(tmp_path), use_tpu=True)

    def not_a_number(params):
        return tf.data.Dataset.from_tensors({"x": [1.0], "y": [float("nan")]}).repeat()

    with pytest.raises(UserError, match="not a number"):
        toy_estimator(str(tmp_path)).train(not_a_number, max_steps=3)


@in_tf1
def test_progress_lines(tmp_path):
    from unittest import mock

    import tensorflow.compat.v1 as tf

    from primer_tf.mesh.runtime import hooks

    lines, clock = [], iter([100.0, 104.0, 111.0, 112.0, 113.0])
    with tf.Graph().as_default() as graph:
        step = tf.train.create_global_step(graph)
        advance = tf.assign_add(step, 1)
        loss = tf.constant(2.5)
        hook = hooks.ProgressHook(loss, 5, tokens_per_step=1000, print_fn=lines.append)
        with (
            mock.patch("time.monotonic", lambda: next(clock)),
            tf.train.SingularMonitoredSession([hook]) as session,
        ):
            for _ in range(5):
                session.run(advance)
    # Two steps in 11 seconds, three left; then the last two steps in 2 seconds.
    assert lines == [
        "step 1  loss 2.5000",
        "step 3/5  loss 2.5000  0.182 steps/s  182 tokens/s  0:00:11 left",
        "step 5/5  loss 2.5000  1 steps/s  1,000 tokens/s  0:00:00 left",
    ]
