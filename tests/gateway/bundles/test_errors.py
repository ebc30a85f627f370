"""A bundle's error has a code that scripts may rely on."""

from __future__ import annotations

import re

from gateway.bundles import errors
from gateway.bundles.errors import BundleError


def test_every_code_is_explained_where_it_is_defined() -> None:
    assert BundleError("bundle_older", "older").code in re.findall(
        r"^    (bundle_\w+) ", errors.BundleError.__doc__ or "", re.M
    )
