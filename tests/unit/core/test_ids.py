"""core.ids: sortable, unique identifiers."""

import re

from cybercorp.core.ids import new_id


def test_ids_are_unique_sortable_and_safe() -> None:
    """They can stand in a URL and a file name, and later ones sort after earlier ones by millisecond."""
    made = [new_id("h") for _ in range(2000)]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"h_[0-9a-hjkmnp-tv-z]{26}", one) for one in made)
    assert [one[:12] for one in made] == sorted(one[:12] for one in made)
