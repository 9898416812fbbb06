"""How long a summary takes, and how much memory: ResNet-50 beside torchinfo, a huge Llama, 10,000 layers.

    python tests/benchmarks/bench_summary.py            everything
    python tests/benchmarks/bench_summary.py resnet     ResNet-50 at batch 32, beside torchinfo
    python tests/benchmarks/bench_summary.py llama      Llama-70B on the meta device, of transformers
    python tests/benchmarks/bench_summary.py layers     models of 1,000 and 10,000 layers
    python tests/benchmarks/bench_summary.py probe      the norms taken in one training step

Prints tables and fails on nothing. Each line is measured in a process of its own.
torchinfo and transformers are installed by hand.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).parents[2]
ROUNDS = 5

#: Runs in every process that is measured: the models, and what time and memory are taken with.
COMMON = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import torch
from torch import nn
import dlwidgets as dlw

def peak():
    '''The most memory this process has held, in MB.'''
    try:
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

def measured(work, rounds=ROUNDS):
    '''Seconds of the first call, of the best later one, and the MB that the peak rose by.'''
    try:
        open("/proc/self/clear_refs", "w").write("5")  # the peak starts anew
    except OSError:
        pass
    before, times = peak(), []
    for _ in range(rounds):
        began = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - began)
        del found
    return times[0], min(times), max(0.0, peak() - before)

class Bottleneck(nn.Module):
    '''He et al., Deep Residual Learning, 2015, figure 5 right; stride in the 3x3 convolution as is usual.'''

    def __init__(self, inner, planes, stride=1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inner, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, planes * 4, 1, bias=False), nn.BatchNorm2d(planes * 4)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity() if stride == 1 and inner == planes * 4 else nn.Sequential(
            nn.Conv2d(inner, planes * 4, 1, stride, bias=False), nn.BatchNorm2d(planes * 4))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.shortcut(x))

def resnet50():
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)]
    layers += [nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inner = 64
    for planes, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            layers.append(Bottleneck(inner, planes, 2 if block == 0 and planes > 64 else 1))
            inner = planes * 4
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))

def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10))
""".replace("ROUNDS", str(ROUNDS))

RESNET = """
torch.set_num_threads(2)
if sys.argv[2] == "trained":  # a first step of any optimizer loads torch's compiler, as fake tensors do
    small = nn.Linear(2, 2)
    small(torch.ones(1, 2)).sum().backward()
    torch.optim.SGD(small.parameters(), 0.1).step()
model = resnet50().eval()
assert sum(p.numel() for p in model.parameters()) == 25_557_032
if sys.argv[1] == "torchinfo":
    import torchinfo
    work = lambda: torchinfo.summary(model, (32, 3, 224, 224), verbose=0)
    macs = lambda found: found.total_mult_adds
else:
    x = torch.empty(32, 3, 224, 224)  # its memory is not touched
    work = lambda: dlw.summary(model, x)
    macs = lambda found: found.total_macs
first, best, rose = measured(work)
print(json.dumps([first, best, rose, macs(work())]))
"""

LLAMA = """
from transformers import LlamaConfig, LlamaForCausalLM
config = LlamaConfig(hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64,
    num_key_value_heads=8, vocab_size=128256, max_position_embeddings=8192, use_cache=False)
tokens = int(sys.argv[1])
with torch.device("meta"):
    model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
    x = torch.zeros(1, tokens, dtype=torch.long)
work = lambda: dlw.summary(model, {"input_ids": x})
first, best, rose = measured(work, 3)
found = work()
# What each token passes through, and each pair of tokens twice (q k and a v) in 64 heads of 128 in 80 layers.
weights = sum(p.numel() for n, p in model.named_parameters() if "embed" not in n and "norm" not in n)
by_hand = weights * tokens + 80 * 64 * 2 * tokens * tokens * 128
print(json.dumps([first, best, rose, found.total_parameters, found.total_macs, by_hand, found.error]))
"""

LAYERS = """
kind, count = sys.argv[1], int(sys.argv[2])
if kind == "in one row":
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(count)))
else:  # ten layers in each of ten in each ...
    def nested(count):
        return nn.Linear(8, 8) if count == 1 else nn.Sequential(*(nested(count // 10) for _ in range(10)))
    model = nested(count)
x = torch.empty(4, 8)
first, best, rose = measured(lambda: dlw.summary(model, x), 3)
table = dlw.summary(model, x)
_, text, _ = measured(lambda: str(table), 3)
_, frame, _ = measured(lambda: table.to_frame(), 3)
_, page, _ = measured(lambda: table._repr_html_(), 3)
print(json.dumps([len(table.rows), first, best, text, frame, page, rose]))
"""

PROBE = """
from dlwidgets.core.layers.probes import LayerProbe
torch.manual_seed(0)
if sys.argv[1] == "small CNN":
    model, x = small_cnn(), torch.randn(64, 1, 28, 28)
else:
    model, x = resnet50(), torch.randn(8, 3, 64, 64)
optimizer, probe = torch.optim.SGD(model.parameters(), 0.01, 0.9), LayerProbe(model)

def step(probed):
    optimizer.zero_grad()
    model(x).square().mean().backward()
    began = time.perf_counter()
    if probed:
        probe.before()
    spent = time.perf_counter() - began
    optimizer.step()
    began = time.perf_counter()
    if probed:
        probe.after(1)
    return spent + time.perf_counter() - began

for _ in range(3):
    step(True)
spent, whole = [], []
for _ in range(20):
    began = time.perf_counter()
    spent.append(step(True))
    whole.append(time.perf_counter() - began)
spent, whole = sorted(spent)[10], sorted(whole)[10]
print(json.dumps([spent * 1e6, (whole - spent) * 1e3, sum(p.numel() for p in model.parameters())]))
"""


def measure(script: str, *arguments: object) -> list[float]:
    """Run `script` in a fresh process; return what it prints as its last line."""
    command = [sys.executable, "-c", COMMON + script, *map(str, arguments)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def has(package: str) -> bool:
    """Say whether a package is installed; print how to install it where it is not."""
    found = importlib.util.find_spec(package) is not None
    if not found:
        print(f"  {package} is not installed: pip install {package}")
    return found


def resnet() -> None:
    """Print ResNet-50 at batch 32, ours beside torchinfo's."""
    print(f"ResNet-50, batch 32 x 3 x 224 x 224, two threads (torchinfo runs the model); best of {ROUNDS}")
    print(f"  {'':<32}{'first call':>12}{'best':>12}{'extra memory':>15}{'MACs':>10}")
    best = {}
    for who in ("dlwidgets", *(["torchinfo"] if has("torchinfo") else [])):
        for when in ("fresh", "trained"):
            first, best[who], rose, macs = measure(RESNET, who, when)
            took = "".join(f"{seconds * 1e3:>9,.0f} ms" for seconds in (first, best[who]))
            words = f"{who}, {'a fresh process' if when == 'fresh' else 'after a step'}"
            print(f"  {words:<32}{took}{rose:>12,.0f} MB{macs / 1e9:>8.2f} G")
    if "torchinfo" in best:
        times = best["torchinfo"] / best["dlwidgets"]
        print(f"  {times:.0f} times faster (wanted: 10; extra memory under 50 MB)")
        print(
            "  The first fake tensor loads torch's compiler, as the first step of any optimizer does."
        )


def llama() -> None:
    """Print a 70-billion-parameter Llama on the meta device."""
    print("\nLlama of 70 billion parameters on the meta device, one sequence (wanted: under 3 s)")
    if not has("transformers"):
        return
    heads = ("first call", "best", "extra memory", "parameters", "MACs", "by hand")
    print(f"  {'tokens':<10}" + "".join(f"{head:>14}" for head in heads))
    for tokens in (128, 2048, 8192):
        first, best, rose, parameters, macs, by_hand, error = measure(LLAMA, tokens)
        said = "" if macs == by_hand else f"  not the same: {error}"
        print(
            f"  {tokens:<10}{first:>12.2f} s{best:>12.2f} s{rose:>11,.0f} MB{parameters / 1e9:>12.2f} B"
            f"{macs / 1e12:>12.2f} T{by_hand / 1e12:>12.2f} T{said}"
        )


def layers() -> None:
    """Print how the time grows with the number of layers."""
    print("\nMany layers (wanted: in proportion, under 2 s for 10,000)")
    heads = ("rows", "first call", "best", "as text", "to_frame", "as HTML", "memory")
    print(f"  {'':<22}" + "".join(f"{head:>12}" for head in heads))
    for kind in ("in one row", "nested by tens"):
        for count in (1_000, 10_000):
            rows, *times, rose = measure(LAYERS, kind, count)
            print(f"  {count:>6,} {kind:<15}{rows:>12,}" + "".join(f"{t * 1e3:>9,.0f} ms" for t in times)
                  + f"{rose:>9,.0f} MB")  # fmt: skip


def probe() -> None:
    """Print what the norms of one step cost."""
    print("\nNorms of weights, gradients and updates in one training step (median of 20)")
    heads = ("parameters", "norms", "bare step", "share", "2 %: every")
    print(f"  {'':<12}" + "".join(f"{head:>12}" for head in heads))
    for name in ("small CNN", "ResNet-50"):
        spent, step, parameters = measure(PROBE, name)
        share = spent / 1e3 / step
        print(
            f"  {name:<12}{parameters / 1e6:>10.2f} M{spent:>9,.0f} us{step:>9,.1f} ms{share:>12.1%}"
            f"{max(1, math.ceil(share / 0.02)):>6} steps"
        )


TABLES = {"resnet": resnet, "llama": llama, "layers": layers, "probe": probe}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", choices=[*TABLES, []], metavar="|".join(TABLES))
    for table in parser.parse_args().tables or TABLES:
        TABLES[table]()


if __name__ == "__main__":
    main()
