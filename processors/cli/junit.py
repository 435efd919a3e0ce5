"""Results of cases in JUnit's XML, as CI servers read it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from processors.cli.testing import failure_lines

if TYPE_CHECKING:
    from processors.offline.case_runs import CaseResult

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold."""


def junit_xml(results: Sequence[CaseResult]) -> bytes:
    """One suite a file, one case a case; a failure holds the diff and the reasons."""
    root = Element("testsuites", _counts(results))
    for file, of_file in groupby(results, lambda result: result.file):
        cases = list(of_file)
        suite = SubElement(root, "testsuite", {"name": _text(file), **_counts(cases)})
        for case in cases:
            element = SubElement(suite, "testcase", {"classname": _text(file), "name": _text(case.name)})
            if not case.passed:
                message = f"{len(case.wrong)} persons are wrong"
                SubElement(element, "failure", {"message": message}).text = _text("\n".join(failure_lines(case)))
    indent(root)
    text: str = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _counts(results: Sequence[CaseResult]) -> dict[str, str]:
    failed = sum(not result.passed for result in results)
    return {"tests": str(len(results)), "failures": str(failed), "errors": "0"}


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
