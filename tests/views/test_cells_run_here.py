"""A real kernel that trains in its cell hears what a page says meanwhile, and runs the next cell after it."""

from __future__ import annotations

from pathlib import Path

import ipykernel
import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.slow
MADE = """
import torch, dlwidgets as dlw
X = torch.randn(64, 8)
session = dlw.Session(torch.nn.Linear(8, 2), train=(X, (X.sum(1) > 0).long()), epochs=10**6)
panel = dlw.TrainingPanel(session)
pause = next(one for one in panel.bar.children[1].children if one.description == "Pause")
print(panel.batch_size.comm.comm_id, pause.comm.comm_id, end="")
"""

#: A point for each moment that is told once steps are taken.
TRAINS = """
session.observe(lambda change: print("." * (session.steps > 0), end=""), "pulse")
session.run_here()
print(session.status, session.batch_size, end="")
"""


@pytest.fixture
def client(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def subshell(client):
    """Return the subshell that a page asks for, None on ipykernel 6, which has none."""
    if int(ipykernel.__version__.split(".")[0]) < 7:
        return None
    client.control_channel.send(client.session.msg("create_subshell_request"))
    return client.get_control_msg(timeout=60)["content"]["subshell_id"]


def test_a_slider_and_pause_are_heard_amid_run_here_and_the_next_cell_follows(client):
    made = client.execute(MADE)
    said = {made: ""}
    order = []

    def hear(until):
        while not until():
            message = client.get_iopub_msg(timeout=60)
            asked, content = message["parent_header"].get("msg_id"), message["content"]
            said[asked] = said.get(asked, "") + content.get("text", "") + "".join(content.get("traceback", ()))
            if content.get("execution_state") == "idle":
                order.append(asked)

    hear(lambda: made in order)
    size, pause = said[made].split()
    shell = subshell(client)

    def say(comm, **data):
        message = client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        message["header"]["subshell_id"] = shell
        client.shell_channel.send(message)
        return message["header"]["msg_id"]

    trains = client.execute(TRAINS)
    follows = client.execute("print('next', end='')")
    hear(lambda: "." in said.get(trains, ""))
    moved = say(size, method="update", state={"index": 0}, buffer_paths=[])
    hear(lambda: moved in order)
    say(pause, method="custom", content={"event": "click"})
    hear(lambda: follows in order)
    assert (said[trains].lstrip("."), said[follows]) == ("paused 1", "next")
    assert order.index(moved) < order.index(trains) < order.index(follows)
