"""Say whether a tag may be released: `python tests/check_release.py v1.2.3`.

For a release write the version in `dlwidgets/__init__.py` and in `dlwidgets/labextension/package.json`, put a heading
`## 1.2.3` and an empty line below `## Unreleased` in `CHANGELOG.md`, and run this. Then commit, `git tag v1.2.3`,
`git push origin v1.2.3`: `.github/workflows/release.yml` tests, builds, tries the wheel alone and publishes it.

Once before the first: at the package index name this repository, that file and the environment `pypi` as a trusted
publisher of `dlwidgets`; and put the repository's address into `pyproject.toml` as `[project.urls]`.
`tests/long_description.py`, which takes the links to our own files out of the long description, can then make them
whole instead.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path


def versions(checkout: Path) -> dict[str, str | None]:
    """Read each place that states the version; None where the change log has no release yet."""
    package = checkout / "dlwidgets"
    extension = json.loads((package / "labextension" / "package.json").read_text("utf-8"))
    (own,) = re.findall(r'^__version__ = "(.+)"$', (package / "__init__.py").read_text("utf-8"), re.MULTILINE)
    released = re.search(r"^## (\d\S*)", (checkout / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    return {
        "dlwidgets/__init__.py": own,
        "dlwidgets/labextension/package.json": extension["version"],
        "CHANGELOG.md": released and released[1],
    }


def check(tag: str, checkout: Path) -> list[str]:
    """Return what stands in the way of releasing the tag, a sentence each."""
    wanted = tag.removeprefix("v")
    faults = [
        f"{place} has {version or 'no version yet'}, and the tag is {tag}."
        for place, version in versions(checkout).items()
        if version != wanted
    ]
    unreleased = re.search(
        r"^## Unreleased$(.*?)(?=^## |\Z)", (checkout / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    if unreleased and unreleased[1].strip():
        faults.append(f"CHANGELOG.md has lines under Unreleased: move them under a heading {wanted}.")
    return faults


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit("\n".join(check(sys.argv[1], Path(__file__).resolve().parents[1])) or None)
