"""Steps a second with the dashboard live, where the page is on another machine, as on Binder or a hub.

    python tests/benchmarks/bench_afar.py [ROUNDS]

Nothing is drawn here: a robot at the other end of the kernel's wire answers as a page does (see front.js: half a
second after a picture, for all views at once). So this is what the kernel itself pays for its views, on one CPU
of its own; bench_throughput.py measures it with a real page drawn beside it. In each round a bare PyTorch loop, a
session without views and one with its dashboard live train the same fresh model, in random order. Prints tables
and fails on nothing. Run it alone on the machine.
"""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench_throughput import COMMON, LIVE, table
from jupyter_client.manager import start_new_kernel

REPO = Path(__file__).parents[2]
SECONDS, ANSWER_AFTER = 3.0, 0.5

SESSIONS = """
def made(kind, make):
    global session, dashboard
    if kind == "dashboard live":
        live(make)
        session.selected_layer = "0"
    else:
        session = dlw.Session(make(), train=(X, y), batch_size=64, epochs=100_000)
    session.start()

def ended():
    session.stop()
    if "dashboard" in globals():
        dashboard.close()
    session.close()
"""


class Robot:
    """Runs code in a kernel, and answers for a page that shows all of its views."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(kernel_name="python3")
        #: Comm of a view -> its address and the newest picture of it that came.
        self._views: dict[str, tuple[str, int]] = {}
        self._answered: dict[str, int] = {}
        self.pictures = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, code: str, value: str = "None") -> Any:
        """Run code, then return an expression's value."""
        asked = self.client.execute(code, user_expressions={"value": value}, store_history=False)
        while (reply := self.client.get_shell_msg(timeout=120))["parent_header"].get("msg_id") != asked:
            pass
        if reply["content"]["status"] != "ok":
            raise RuntimeError("\n".join(reply["content"].get("traceback", [])))
        return eval(reply["content"]["user_expressions"]["value"]["data"]["text/plain"])

    def close(self) -> None:
        """End the kernel."""
        self.manager.shutdown_kernel(now=True)

    def _listen(self) -> None:
        due = 0.0
        while True:
            try:
                self._hear(self.client.get_iopub_msg(timeout=0.05))
            except queue.Empty:
                pass
            owed = {
                address: frame
                for address, frame in self._views.values()
                if frame > self._answered.get(address, 0)
            }
            due = (due or time.monotonic() + ANSWER_AFTER) if owed else 0.0
            if owed and time.monotonic() >= due:
                due, self._answered = 0.0, {**self._answered, **owed}
                self._say(next(iter(self._views)), {"drawn": 0, "beside": owed})

    def _hear(self, message: dict[str, Any]) -> None:
        content = message["content"]
        comm, state = content.get("comm_id", ""), content.get("data", {}).get("state", {})
        if message["msg_type"] == "comm_open" and "address" in state:
            self._views[comm] = state["address"], state["frame"]
            self._say(comm, {"hello": 0})
        elif message["msg_type"] == "comm_msg" and comm in self._views and "frame" in state:
            self._views[comm] = self._views[comm][0], state["frame"]
            self.pictures += 1
        elif message["msg_type"] == "comm_close":
            self._views.pop(comm, None)

    def _say(self, comm: str, content: dict[str, Any]) -> None:
        data = {"method": "custom", "content": content}
        self.client.shell_channel.send(
            self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        )


def main(rounds: int) -> None:
    """Print a table for each model."""
    alone, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or {alone})
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPO)}
    robot = Robot()
    robot.run(COMMON + LIVE + SESSIONS + f"\nstay_on({alone})")
    for model in ("small CNN", "MLP"):
        rates: dict[str, list[float]] = {"bare loop": [], "no views": [], "dashboard live": []}
        pictures = 0
        for _ in range(rounds):
            for kind in random.sample(list(rates), len(rates)):
                make = f"MODELS[{model!r}]"
                if kind == "bare loop":
                    rates[kind].append(robot.run("", f"in_thread(lambda: bare({make}, {SECONDS}))"))
                    continue
                robot.run(f"made({kind!r}, {make})")
                time.sleep(0.5)
                first, began = robot.run("", "(len(session.record), time.perf_counter())")
                before = robot.pictures
                time.sleep(SECONDS)
                pictures += robot.pictures - before
                last, end = robot.run("", "(len(session.record), time.perf_counter())")
                rates[kind].append((last - first) / (end - began))
                robot.run("ended()")
        table(f"{model}, 28x28, batch 64, the kernel on a CPU of its own, the page elsewhere", rates, "bare loop")
        print(f"  pictures of the dashboard: {pictures / rounds / SECONDS:.0f} a second")
    robot.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 12)
