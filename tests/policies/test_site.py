"""What is not known of a gateway is not said."""

from __future__ import annotations

from policies.site import Site


def test_a_site_of_which_nothing_is_known_but_the_day() -> None:
    site = Site(5)
    assert (site.at, site.people, dict(site.classes), site.remote) == (5, None, {}, frozenset())
