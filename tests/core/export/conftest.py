"""What the tests of scripts share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def done(request, tmp_path_factory):
    """The runs that the module names `RUNS`, written as scripts, which were run alone: see `Runs.write`."""
    return request.module.RUNS.write(tmp_path_factory.mktemp("scripts"))
