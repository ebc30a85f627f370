"""The HTML report: well-formed, nothing fetched, nothing executed, everything escaped, every number of the text one."""

from __future__ import annotations

import random
import re
from types import MappingProxyType
from xml.etree import ElementTree

from gateway.evaluate.page import as_html
from gateway.evaluate.report import measure_all
from gateway.evaluate.run import Judged, Run
from tests.gateway.evaluate.made import row, run, subject

HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"


def example() -> Run:
    source = random.Random(1)
    rows = []
    for n in range(80):
        scores = MappingProxyType({"S1": source.randrange(10**6)})
        judged = Judged(source.randrange(10**6), categories=scores, windows=1, us=900, alone=n < 9)
        groups = {"language": ("en", "<b>de</b>")[n % 2], "categories": ("S1",) if n % 4 == 0 else ()}
        rows.append(row(n, n % 4 == 0, judged, **groups))
    rows.append(row(99, True, Judged(None, "timeout"), language="en"))
    return run(rows, subject(rows=71, wall_us=10**6, concurrency=8))


def parsed(page: str) -> ElementTree.Element:
    assert page.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))


def test_the_page_is_well_formed_with_four_plots() -> None:
    root = parsed(as_html(example(), measure_all(example())))
    assert len(list(root.iter(f"{SVG}svg"))) == 4
    assert len(list(root.iter(f"{HTML}table"))) == 4


def test_nothing_is_fetched_and_nothing_runs() -> None:
    page = as_html(example(), measure_all(example()))
    root = parsed(page)
    tags = {element.tag for element in root.iter()}
    assert tags.isdisjoint(HTML + tag for tag in ("script", "link", "img", "iframe", "object", "embed", "a"))
    assert all(not name.startswith(("on", "src", "href")) for element in root.iter() for name in element.attrib)
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/)", page)


def test_names_of_a_set_are_escaped() -> None:
    page = as_html(example(), measure_all(example()))
    assert "<b>de</b>" not in page
    assert "&lt;b&gt;de&lt;/b&gt;" in page


def test_rows_that_were_not_judged_stand_before_the_numbers() -> None:
    page = as_html(example(), measure_all(example()))
    assert page.index("1 rows were not judged: timeout 1") < page.index("average precision")


def test_it_reads_in_the_dark_and_in_the_light() -> None:
    page = as_html(example(), measure_all(example()))
    assert "prefers-color-scheme: dark" in page
    style = page.split("<style>")[1].split("</style>")[0]
    used = set(re.findall(r'class="([a-z]+)"', page))
    assert {name for name in used if f".{name} " not in style and f".{name}," not in style} == set()


def test_a_set_of_one_class_has_tables_and_no_plots() -> None:
    found = run([row(1, False, 5), row(2, False, 7)])
    root = parsed(as_html(found, measure_all(found)))
    assert list(root.iter(f"{SVG}svg")) == []
