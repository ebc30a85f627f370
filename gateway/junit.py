"""The results of policy tests as JUnit XML, as CI systems read it.

A file is a test suite, a test is a test case, a difference its failure. A file that does not load is one case with an
error for each problem; a rule that decides in no test, where that was asked for, is a failed case of its own. Texts of
tests are in none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Result:
    """One test case."""

    name: str
    line: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one file."""

    file: str
    name: str
    results: Sequence[Result]
    covered: int | None = None
    """Percent; None when that was not measured."""


def junit(suites: Iterable[Suite]) -> bytes:
    """The document."""
    top = Element("testsuites")
    for suite in suites:
        _add(top, suite)
    counts = [_counts(suite) for suite in top]
    for key in ("tests", "failures", "errors"):
        top.set(key, str(sum(int(count[key]) for count in counts)))
    return bytes(tostring(top, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(suite: Element) -> dict[str, str]:
    return {key: suite.get(key, "0") for key in ("tests", "failures", "errors")}


def _add(top: Element, suite: Suite) -> None:
    failures = sum(bool(one.failures) for one in suite.results)
    errors = sum(bool(one.errors) for one in suite.results)
    seconds = sum(one.seconds for one in suite.results)
    said = {"name": _clean(suite.name), "file": _clean(suite.file), "time": f"{seconds:.6f}"}
    counted = {"tests": str(len(suite.results)), "failures": str(failures), "errors": str(errors)}
    element = SubElement(top, "testsuite", said | counted)
    if suite.covered is not None:
        SubElement(SubElement(element, "properties"), "property", name="coverage_percent", value=str(suite.covered))
    for result in suite.results:
        _add_case(element, suite, result)


def _add_case(element: Element, suite: Suite, result: Result) -> None:
    said = {"name": _clean(result.name), "time": f"{result.seconds:.6f}", "classname": _clean(suite.name)}
    case = SubElement(element, "testcase", said | {"file": _clean(suite.file), "line": str(result.line)})
    for kind, told in (("failure", result.failures), ("error", result.errors)):
        if told:
            SubElement(case, kind, message=_clean(told[0])).text = _clean("\n".join(told))


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return _NO_XML.sub("\ufffd", text)
