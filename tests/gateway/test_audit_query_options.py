"""The filters that the reading commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gateway.audit.search import FILTERS, Query
from gateway.audit_location import UsageError
from gateway.audit_query_options import add_query_options, index_file, query_of


def query(*words: str) -> Query:
    parser = argparse.ArgumentParser()
    add_query_options(parser)
    return query_of(parser.parse_args(words))


def test_no_option_is_no_filter() -> None:
    assert query() == Query()


def test_each_filter_has_an_option() -> None:
    found = query("--request", "r", "--key", "k", "--rule", "no-phi", "--code", "hazard", "S9")
    assert dict(found.exact) == {"req": "r", "actor": "k", "rule": "no-phi", "code": "hazard"}
    assert found.words == ("S9",)
    assert set(dict(found.exact)) <= set(FILTERS)


def test_scores_are_asked_in_ppm() -> None:
    assert query("--detector", "harm", "--score", "0.9").least_ppm == 900_000
    assert query("--detector", "harm").least_ppm == 1
    for wrong in (["--score", "0.5"], ["--detector", "harm", "--score", "7"]):
        with pytest.raises(UsageError):
            query(*wrong)


def test_the_index_lies_beside_the_log_unless_it_is_named(tmp_path: Path) -> None:
    arguments = argparse.Namespace(index=None)
    assert index_file(arguments, tmp_path / "log") == tmp_path / "audit-index.sqlite"
    assert index_file(argparse.Namespace(index=Path("/x/y")), tmp_path) == Path("/x/y")
