"""Control groups: the folders in which Linux says what a container may take."""

from __future__ import annotations

from pathlib import Path


def group_folders(root: Path, controller: str, *mounts: str) -> list[Path]:
    """Return the folders that may limit this process: its own groups (cgroup v1 and v2) and those around them.

    In a container the root of the tree that it sees is its own group.

    Parameters
    ----------
    root : the folder in which `proc` and `sys` lie.
    controller : what is limited, "cpu" or "memory"; version 1 mounts it in a folder of that name.
    mounts : other names of that folder.
    """
    base = root / "sys/fs/cgroup"
    folders = [base, *(base / name for name in (controller, *mounts))]
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return folders
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and controller not in controllers.split(","):
            continue
        for mount in [base] if not controllers else [base / controllers, base / controller]:
            folder = mount / path.strip("/")
            # A path outside the visible tree ("/../other") belongs to a group that cannot be read.
            if ".." in folder.parts:
                continue
            folders += [folder, *(parent for parent in folder.parents if mount in parent.parents)]
    return folders
