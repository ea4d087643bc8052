"""Certificates of our own authority."""

from __future__ import annotations

import pytest

from cybercorp.core.errors import InvalidInputError
from cybercorp.security.certificates import issue, make_authority, validity_of

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


def test_no_leaf_outlives_its_authority() -> None:
    """It ends with the authority at the latest; one that is over signs nothing any more."""
    authority = make_authority("short", NOW_MS, days=10)
    end_ms = validity_of(authority.certificate).not_after_ms
    assert validity_of(issue(authority, ["a.test"], NOW_MS, 30).certificate).not_after_ms == end_ms
    assert validity_of(issue(authority, ["a.test"], NOW_MS, 5).certificate).not_after_ms == NOW_MS + 5 * DAY_MS
    last = validity_of(issue(authority, ["a.test"], end_ms - 60_000, 30).certificate)
    assert last.not_before_ms < end_ms - 60_000 < last.not_after_ms == end_ms
    with pytest.raises(InvalidInputError) as refused:
        issue(authority, ["a.test"], end_ms, 30)
    assert refused.value.error_code == "authority_over"
