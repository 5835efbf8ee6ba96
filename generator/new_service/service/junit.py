"""A JUnit report, in the form that GitLab, Jenkins and others read."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

from ..system.errors import BadInput
from .checks import Result


def write_junit(path: Path, suites: Mapping[str, list[Result]]) -> None:
    """Write a report, with one suite for each service.

    Raises:
        BadInput: `path` cannot be written.
    """
    root = ET.Element("testsuites")
    root.extend(_suite(name, results) for name, results in suites.items())
    try:
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as failed:
        raise BadInput(
            f"cannot write {path}: {failed.strerror}.", "name another --junit file."
        ) from failed


def _suite(name: str, results: list[Result]) -> ET.Element:
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(results)),
        failures=str(sum(result.status == "failed" for result in results)),
        skipped=str(sum(result.status == "skipped" for result in results)),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = ET.SubElement(
            suite,
            "testcase",
            classname="new-service.validate",
            name=result.name,
            time=f"{result.seconds:.3f}",
        )
        if result.status != "passed":
            kind = "failure" if result.status == "failed" else "skipped"
            message = result.detail.splitlines()[0] if result.detail else ""
            ET.SubElement(case, kind, message=_printable(message)).text = _printable(result.detail)
    return suite


def _printable(text: str) -> str:
    """`text` without the control characters that XML 1.0 forbids (section 2.2)."""
    return "".join(each for each in text if each in "\t\n\r" or ord(each) >= 0x20)
