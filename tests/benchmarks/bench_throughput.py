"""Steps a second: the bare PyTorch loop, a session without views, a session with its dashboard live.

    python tests/benchmarks/bench_throughput.py [WHAT]

    threads    the loop in the main thread, in a background thread, under a quota
    dashboard  the dashboard live in a real JupyterLab, on the same CPUs
    apart      the same, the kernel on one CPU and the page on the others: as where the page is on another
               machine (Binder, a hub)
    nothing    all of them

Prints tables and fails on nothing. Run it alone on the machine: spinning threads make a busy one collapse.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[2]
ROUNDS, SECONDS = 5, 4.0

#: Runs in every process that is measured: the models of the table, and the ten-line loop.
COMMON = """
import time, statistics, threading, torch
from torch import nn

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

MODELS = {"small CNN": small_cnn, "MLP": mlp}
g = torch.Generator().manual_seed(0)
X = torch.randn(4096, 1, 28, 28, generator=g)
y = (torch.rand(4096, 10, generator=g) > 0.7).float()

def bare(make, seconds):
    model = make()
    optimizer, loss_function = torch.optim.AdamW(model.parameters(), lr=1e-3), nn.BCEWithLogitsLoss()
    order, steps, began = torch.Generator().manual_seed(0), 0, time.perf_counter()
    while True:
        for index in torch.randperm(len(X), generator=order).split(64):
            loss = loss_function(model(X[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            steps += 1
            if steps == 20:
                began = time.perf_counter()
            if steps > 20 and time.perf_counter() - began > seconds:
                return (steps - 20) / (time.perf_counter() - began)

def in_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]

def session_rate(make, seconds, **options):
    import dlwidgets as dlw
    session = dlw.Session(make(), train=(X, y), batch_size=64, epochs=100_000, **options)
    session.start()
    while session.steps < 20:
        time.sleep(0.01)
    first, began = len(session.record), time.perf_counter()
    time.sleep(seconds)
    rate = (len(session.record) - first) / (time.perf_counter() - began)
    session.stop()
    return rate
"""

THREADS = {
    "main thread": "bare(make, seconds)",
    "background thread": "in_thread(lambda: bare(make, seconds))",
    "background, after the main thread used torch": (
        "(bare(make, 0.5), in_thread(lambda: bare(make, seconds)))[1]"
    ),
    "session, after the main thread used torch": "(bare(make, 0.5), session_rate(make, seconds))[1]",
}


def measure(expression: str, model: str, *, quota: str | None = None) -> float:
    """Return what `expression` gives in a process of its own, under a cgroup where `quota` names one."""
    code = COMMON + f"\nmake, seconds = MODELS[{model!r}], {SECONDS}\nprint({expression})"

    def join_group() -> None:
        Path(quota, "cgroup.procs").write_text(str(os.getpid()))

    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=environment, check=True, preexec_fn=join_group if quota else None)  # fmt: skip
    return float(done.stdout.split()[-1])


def table(title: str, rates: dict[str, list[float]], base: str) -> None:
    """Print medians, ranges, and the median of the ratios to `base` taken round by round."""
    print(f"\n{title}")
    for name, values in rates.items():
        ratio = statistics.median(v / b for v, b in zip(values, rates[base]))
        print(
            f"  {name:<48}{statistics.median(values):8.1f} steps/s"
            f"   {min(values):7.1f} .. {max(values):<7.1f}  x {ratio:.3f}"
        )


def one_cpu() -> str | None:
    """Return a new cgroup that may use one CPU while all stay visible; None where groups cannot be made."""
    for parent, limit in (
        (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us"),
        (Path("/sys/fs/cgroup"), "cpu.max"),
    ):
        group = parent / f"dlwidgets-bench-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text("100000")
            return str(group)
        except OSError:
            continue
    return None


def threads() -> None:
    """Print how fast the loop is in each kind of thread, and under a quota of one CPU with more visible."""
    cases = {name: (expression, None) for name, expression in THREADS.items()}
    quota = one_cpu()
    if quota:
        cases["quota of 1 CPU: bare loop, as torch chooses"] = ("bare(make, seconds)", quota)
        cases["quota of 1 CPU: bare loop, one thread"] = (
            "(torch.set_num_threads(1), bare(make, seconds))[1]",
            quota,
        )
        cases["quota of 1 CPU: session, as it chooses"] = ("session_rate(make, seconds)", quota)
    else:
        print("(no quota is measured: control groups cannot be written here)")
    try:
        for model in ("small CNN", "MLP"):
            rates: dict[str, list[float]] = {name: [] for name in cases}
            for _ in range(ROUNDS):
                for name, (expression, group) in cases.items():
                    rates[name].append(measure(expression, model, quota=group))
            table(f"{model}, 28x28, batch 64, {os.cpu_count()} CPUs visible", rates, "main thread")
    finally:
        if quota:
            Path(quota).rmdir()


LIVE = """
import dlwidgets as dlw, os, time

def cpu_seconds():
    # of the training thread, and of all others of this process
    training = {t.native_id for t in threading.enumerate() if t.name == "dlwidgets-training"}
    spent = [0.0, 0.0]
    for thread in os.listdir("/proc/self/task"):
        fields = open(f"/proc/self/task/{thread}/stat").read().rsplit(")", 1)[1].split()
        spent[int(thread) not in training] += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent

def moment():
    return len(session.record), time.perf_counter(), *cpu_seconds()

def bare_cpu(make, seconds):
    # steps a second, and milliseconds of CPU a step
    began, spent = time.perf_counter(), time.process_time()
    rate = bare(make, seconds)
    return rate, 1000 * (time.process_time() - spent) / (rate * (time.perf_counter() - began))

def stay_on(cpu):
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), {cpu})
    torch.set_num_threads(1)

def live(make):
    global session, dashboard
    session = dlw.Session(
        make(), train=(X, y), valid=(X[:512], y[:512]), batch_size=64, epochs=100_000, evaluate_every=None)
    dashboard = dlw.Dashboard(session, show="full")
    return dashboard
"""


def dashboard(apart: bool = False) -> None:
    """Print what the dashboard costs while a real page draws it, round by round in one kernel."""
    if apart:
        alone, *others = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, others or {alone})
    sys.path.insert(0, str(REPO))
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import _FLAGS, _chromium
    from tests.browser.lab import Lab
    from tests.browser.server import Server

    # The server's default of one thread is for tests; a person's kernel has what it finds.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=_chromium(), args=_FLAGS)
        server = Server("jupyterlab", Path(folder))
        for model in ("small CNN", "MLP"):
            rates: dict[str, list[float]] = {
                "bare loop": [],
                "session, no views": [],
                "session, dashboard live": [],
            }
            traffic: list[tuple[float, float]] = []
            bare_ms: list[float] = []
            live_ms: list[float] = []
            others: list[float] = []
            for _ in range(ROUNDS):
                # A fresh page and a fresh kernel each round.
                lab = Lab(server, browser.new_context(viewport={"width": 1280, "height": 2600}))
                lab.open(
                    [COMMON + LIVE + (f"stay_on({alone})\n" if apart else ""), f"live(MODELS[{model!r}])"]
                )
                lab.run_all()
                lab.page.wait_for_selector(".dlw-curves")
                # What is out of sight is not drawn: without the code above it, all of the dashboard is in sight.
                lab.page.add_style_tag(content=".jp-Cell-inputWrapper { display: none !important }")
                ask = lab.kernel_eval
                ask("setattr(session, 'selected_layer', '0')")
                rate, milliseconds = ask(f"bare_cpu(MODELS[{model!r}], {SECONDS})")
                rates["bare loop"].append(rate)
                bare_ms.append(milliseconds)
                rates["session, no views"].append(ask(f"session_rate(MODELS[{model!r}], {SECONDS})"))
                ask("session.start() and None")
                lab.wait_until("session.steps > 60")
                first, began, trained, rested = ask("moment()")
                with lab.traffic() as sent:
                    lab.page.wait_for_timeout(1000 * SECONDS)
                    last, ended, trained_then, rested_then = ask("moment()")
                live_ms.append(1000 * (trained_then - trained) / (last - first))
                others.append((rested_then - rested) / (ended - began))
                rates["session, dashboard live"].append((last - first) / (ended - began))
                traffic.append((len(sent.comm()) / (ended - began), sum(sent.comm()) / (ended - began)))
                ask("session.stop() and None")
                lab.close()
            where = "the kernel on a CPU of its own" if apart else f"all on the same {os.cpu_count()} CPUs"
            table(f"{model}, 28x28, batch 64, dashboard in JupyterLab, {where}", rates, "bare loop")
            print(
                f"  messages to the page: {statistics.median(t[0] for t in traffic):.0f} a second, "
                f"{statistics.median(t[1] for t in traffic) / 1000:.0f} KB a second"
            )
            # Which others on the machine cannot distort as they distort the clock.
            print(
                f"  CPU time of a step: bare {statistics.median(bare_ms):.2f} ms, with the dashboard live "
                f"{statistics.median(live_ms):.2f} ms on the training thread; "
                "the kernel's other threads take "
                f"{100 * statistics.median(others):.1f} % of a CPU"
            )
        server.close()
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["threads", "dashboard", "apart"])
    chosen = parser.parse_args().what
    if chosen in (None, "threads"):
        threads()
    if chosen in (None, "dashboard"):
        dashboard()
    if chosen == "apart" or (chosen is None and hasattr(os, "sched_setaffinity")):
        dashboard(apart=True)
