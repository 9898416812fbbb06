"""Steps a second of the same model on the same data: dlwidgets beside fastai, Lightning, skorch and Keras.

    pip install -e ".[bench]"
    python tests/benchmarks/bench_frameworks.py [ROUNDS]

Each framework trains in a process of its own on one thread, with what it does by default in a script (no progress
bar, no checkpoints, no logger); a round runs all of them, one after another, so that what slows the machine
slows all. Prints the median over the rounds, beside the bare PyTorch loop of the same round, and fails on
nothing. What is not installed is left out.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
EPOCHS, ROUNDS = 3, 5

#: Runs in each process; `after_warm_up(steps)` prints the rate of all steps but those of the first epoch.
COMMON = """
import logging, os, sys, time, warnings
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
import torch
from torch import nn
torch.set_num_threads(1)

def small_cnn():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10))

def mlp():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 96), nn.ReLU(), nn.Linear(96, 64), nn.ReLU(), nn.Linear(64, 10))

g = torch.Generator().manual_seed(0)
N = 4096 if sys.argv[1] == "small_cnn" else 16384
X = torch.randn(N, 1, 28, 28, generator=g)
y = (torch.rand(N, 10, generator=g) > 0.7).float()
model, loss_function, EPOCHS, BATCH = globals()[sys.argv[1]](), nn.BCEWithLogitsLoss(), int(sys.argv[2]), 64
steps = N // BATCH
ends = []

def epoch_ended():
    ends.append(time.perf_counter())

def report():
    # The first epoch warms up: caches, lazy imports, the first call of each operation.
    print("RATE", steps * (len(ends) - 1) / (ends[-1] - ends[0]))
"""

WAYS = {
    "bare loop": """
optimizer, order = torch.optim.AdamW(model.parameters(), lr=1e-3), torch.Generator().manual_seed(0)
for _ in range(EPOCHS):
    for index in torch.randperm(N, generator=order).split(BATCH):
        loss = loss_function(model(X[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    epoch_ended()
""",
    "bare loop, DataLoader": """
from torch.utils.data import DataLoader, TensorDataset
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
loader = DataLoader(TensorDataset(X, y), batch_size=BATCH, shuffle=True)
for _ in range(EPOCHS):
    for inputs, targets in loader:
        loss = loss_function(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    epoch_ended()
""",
    "dlwidgets": """
import dlwidgets as dlw
session = dlw.Session(model, train=(X, y), batch_size=BATCH, epochs=EPOCHS, threads=1)
session.fit(1)
epoch_ended()
for _ in range(EPOCHS - 1):
    session.fit(1)
    epoch_ended()
""",
    "fastai": """
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.optimizer import OptimWrapper
from torch.utils.data import TensorDataset
data = TensorDataset(X, y)
class Ends(Callback):
    def after_epoch(self):
        epoch_ended()
loaders = DataLoaders(DataLoader(data, bs=BATCH, shuffle=True), DataLoader(TensorDataset(X[:64], y[:64]), bs=64))
adamw = lambda p, **k: OptimWrapper(p, torch.optim.AdamW, **k)
learner = Learner(loaders, model, loss_func=loss_function, opt_func=adamw, cbs=[Ends()])
with learner.no_bar(), learner.no_logging():
    learner.fit(EPOCHS, 1e-3)
""",
    "Lightning": """
import lightning
from torch.utils.data import DataLoader, TensorDataset
class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = model
    def training_step(self, batch, _):
        return loss_function(self.model(batch[0]), batch[1])
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)
    def on_train_epoch_end(self):
        epoch_ended()
trainer = lightning.Trainer(max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
                            enable_progress_bar=False, enable_model_summary=False)
trainer.fit(Module(), DataLoader(TensorDataset(X, y), batch_size=BATCH, shuffle=True))
""",
    "skorch": """
import skorch
from skorch.callbacks import EpochTimer, Callback
class Ends(Callback):
    def on_epoch_end(self, net, **_):
        epoch_ended()
net = skorch.NeuralNet(model, criterion=nn.BCEWithLogitsLoss, optimizer=torch.optim.AdamW, lr=1e-3, batch_size=BATCH,
                       max_epochs=EPOCHS, train_split=None, iterator_train__shuffle=True, verbose=0, callbacks=[Ends()])
net.fit(X, y)
""",
    "Keras (torch)": """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
net = keras.Sequential([keras.layers.TorchModuleWrapper(model)])
net.compile(optimizer=keras.optimizers.AdamW(1e-3), loss=keras.losses.BinaryCrossentropy(from_logits=True))
net.fit(X.numpy(), y.numpy(), batch_size=BATCH, epochs=EPOCHS, verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: epoch_ended())])
""",
}
#: What each is installed as.
PACKAGES = {"fastai": "fastai", "Lightning": "lightning", "skorch": "skorch", "Keras (torch)": "keras"}


def rate(way: str, model: str, epochs: int = EPOCHS) -> float | str:
    """Return the steps a second of one way to train, or why there are none."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", COMMON + WAYS[way] + "\nreport()\n", model, str(epochs)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, env=environment, timeout=600)
    for line in done.stdout.splitlines():
        if line.startswith("RATE "):
            return float(line.split()[1])
    last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
    package = PACKAGES.get(way)
    return "not installed" if package and f"No module named '{package}'" in last else f"failed: {last}"


def main() -> None:
    """Print a table for each model."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    for model, words in (("small_cnn", "small CNN, 28 x 28, batch 64"), ("mlp", "MLP, batch 64")):
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        failed: dict[str, str] = {}
        for _ in range(rounds):
            for way in WAYS:
                value = rate(way, model) if way not in failed else failed[way]
                if isinstance(value, str):
                    failed[way] = value
                else:
                    found[way].append(value)
        print(f"\n{words}, one thread, median of {rounds} rounds")
        for way, rates in found.items():
            if way in failed:
                print(f"  {way:<24} {failed[way]}")
                continue
            ratios = [one / bare for one, bare in zip(rates, found["bare loop"])]
            typical, ratio = statistics.median(rates), statistics.median(ratios)
            print(f"  {way:<24} {typical:8.1f} steps/s   {ratio:5.2f} of the bare loop")


if __name__ == "__main__":
    main()
