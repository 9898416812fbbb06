"""Trains what `teaching.pretrained()` loads, on Fashion-MNIST.

    OMP_NUM_THREADS=1 python tests/benchmarks/make_pretrained.py dlwidgets/teaching/weights/fashion.safetensors

Some five minutes. Afterwards its checksum belongs into `teaching/models.py`, and what it prints and what
`bench_transfer.py` measures into the card beside the file.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from dlwidgets.teaching import FashionNet

#: Where Debian's package dataset-fashion-mnist puts the four files.
FOLDER = Path("/usr/share/datasets/fashion-mnist")
BATCH, RATE = 128, 1e-2


def read_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Read N x 1 x 28 x 28 float32 in 0..1, and N labels.

    `part` is "train" or "t10k"; the files are gzipped IDX: the number of axes, their lengths, then bytes.
    """
    arrays = []
    for name in ("images-idx3", "labels-idx1"):
        raw = gzip.decompress((folder / f"{part}-{name}-ubyte.gz").read_bytes())
        shape = [int.from_bytes(raw[4 * at : 4 * at + 4], "big") for at in range(1, raw[3] + 1)]
        arrays.append(torch.frombuffer(bytearray(raw), dtype=torch.uint8, offset=4 + 4 * raw[3]).reshape(shape))
    return arrays[0][:, None].float() / 255, arrays[1].long()


def vary(images: Tensor) -> Tensor:
    """Return a batch as photographs might show it; every second image plain.

    Clothes lie on black, which no photograph has. So the others get a smooth grey background, may be a negative, and
    have less contrast; all are shifted by up to 3 pixels and may be mirrored.
    """
    number = len(images)

    def draw() -> Tensor:
        return torch.rand(number, 1, 1, 1)

    ground = interpolate(torch.rand(number, 1, 4, 4), images.shape[-2:], mode="bilinear", align_corners=True)
    photo = torch.where(images > 0.02, images, ground * draw())
    photo = torch.where(draw() < 0.5, photo, 1 - photo)
    low, high = 0.4 * draw(), 1 - 0.4 * draw()
    images = torch.where(torch.arange(number)[:, None, None, None] % 2 == 0, images, low + (high - low) * photo)
    down, across = torch.randint(-3, 4, (2,)).tolist()
    return torch.where(draw() < 0.5, images, images.flip(3)).roll((down, across), (2, 3))


def train(folder: Path, epochs: int, seed: int) -> nn.Module:
    """Train a FashionNet; say how it goes."""
    torch.manual_seed(seed)
    model, (X, y) = FashionNet(), read_part(folder, "train")
    steps = len(X) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * steps)
    for epoch in range(epochs):
        model.train()
        for rows in torch.randperm(len(X))[: steps * BATCH].split(BATCH):
            optimizer.zero_grad()
            cross_entropy(model(vary(X[rows])), y[rows]).backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: accuracy {measure_accuracy(model, folder):.4f}", flush=True)
    return model


def measure_accuracy(model: nn.Module, folder: Path) -> float:
    """Return the share of the 10,000 test images that it gets right."""
    X, y = read_part(folder, "t10k")
    model.eval()
    with torch.no_grad():
        said = torch.cat([model(some).argmax(1) for some in X.split(1000)])
    return float((said == y).float().mean())


def main() -> None:
    """Train, write the file, and say its checksum."""
    parser = argparse.ArgumentParser(description="Train the weights of teaching.pretrained() on Fashion-MNIST.")
    parser.add_argument("file", type=Path, help="the .safetensors file to write")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the four files (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    given = parser.parse_args()
    model = train(given.folder, given.epochs, given.seed)
    facts = {
        "data": "Fashion-MNIST", "accuracy": f"{measure_accuracy(model, given.folder):.4f}",
        "epochs": given.epochs, "seed": given.seed, "torch": torch.__version__,
    }  # fmt: skip
    written = save(model.state_dict(), metadata={"facts": json.dumps(facts)})  # one entry: of several the order is open
    given.file.write_bytes(written)
    print(facts, f"{len(written):,} bytes, SHA-256 {hashlib.sha256(written).hexdigest()}", sep="\n")


if __name__ == "__main__":
    main()
