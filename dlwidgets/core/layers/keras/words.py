"""What the doctor says, in the words of Keras."""

from __future__ import annotations

#: Phrases as the doctor's rules and remedies have them, and what a person who writes Keras would say.
PHRASES = (
    ("requires_grad is False for every parameter of the model.", "trainable is False for every layer of the model."),
    ("requires_grad=False holds a BatchNorm's weights, not its running mean and variance: what the frozen layers say "
     "changes all the same. freeze() of the session holds these too, as module.eval() does; the session sets the whole "
     "model to train mode, so that an eval() from before does not last.",
     "trainable=False of its gamma and beta holds a BatchNormalization's weights, not its moving mean and variance: "
     "what the frozen layers say changes all the same. layer.trainable = False holds these too, as freeze() of the "
     "session does."),
    ("leave the last softmax out while training, and take it for predictions alone.",
     'pass from_logits=False to the loss, or leave activation="softmax" out of the last layer.'),
    ("leave the last sigmoid out while training, and take it for predictions alone.",
     'pass from_logits=False to the loss, or leave activation="sigmoid" out of the last layer.'),
    ("Leave the sigmoid out.", 'Leave activation="sigmoid" out of the last layer.'),
    ("Leave the last ReLU out.", 'Leave activation="relu" out of the last layer.'),
    ("Divide them by 255, or standardise them.",
     "Divide them by 255, or begin the model with keras.layers.Rescaling(1 / 255)."),
    ("Subtract the mean and divide by the deviation.",
     "Subtract the mean and divide by the deviation, or begin the model with keras.layers.Normalization, adapted to "
     "them."),
    ("Each forward in train mode moves the running averages, also under no_grad(). A second one, as to count what is "
     "right, makes them forget faster: do it in eval mode, or use the output that is there already.",
     "Each call with training=True moves the moving averages. A second one, as to count what is right, makes them "
     "forget faster: make it with training=False, or use the output that is there already."),
    ("GroupNorm, which needs no batch", "GroupNormalization, which needs no batch"),
    ("With CrossEntropyLoss and y.argmax(1) the labels exclude one another.",
     'With a softmax at the end and "categorical_crossentropy" the labels exclude one another.'),
    ("unless rare classes weigh more (pos_weight=, weight=) or are drawn more often.",
     "unless rare classes are drawn more often."),
    ("by detach(), .data, torch.no_grad(), argmax() or a conversion to NumPy.",
     "by keras.ops.stop_gradient(), argmax() or a conversion to NumPy."),
    ("(ignore_index, -100 by default)", "(ignore_class)"),
    ("an attention lacks batch_first=True, or a layer that is not registered stays in train mode.",
     "or a layer is called with training=True always."),
    ("put nn.Dropout(0.5) before its last one", "put keras.layers.Dropout(0.5) before its last one"),
    ("are hidden from PyTorch", "are hidden from Keras"),
)  # fmt: skip


def say(text: str) -> str:
    """Return a text of the doctor in the words of Keras."""
    for theirs, own in PHRASES:
        text = text.replace(theirs, own)
    return text
