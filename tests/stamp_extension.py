"""Write the address under which JupyterLab loads the extension: a page keeps what it once loaded for a year.

Run it after each change below `dlwidgets/labextension/static`: python tests/stamp_extension.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

EXTENSION = Path(__file__).resolve().parents[1] / "dlwidgets" / "labextension"


def address() -> str:
    """Return the extension's address, which is another for each text of its files."""
    texts = b"".join(path.read_bytes() for path in sorted((EXTENSION / "static").iterdir()))
    return f"static/remoteEntry.js?v={hashlib.sha256(texts).hexdigest()[:12]}"


if __name__ == "__main__":
    said = json.loads((EXTENSION / "package.json").read_text("utf-8"))
    said["jupyterlab"]["_build"]["load"] = address()
    (EXTENSION / "package.json").write_text(json.dumps(said, indent=2) + "\n", "utf-8")
