"""What a radiologist sees of the results: OHIF, the page of the PACS itself, and DCMTK's page of a report."""

from __future__ import annotations

import html
import re

import pydicom
import pytest

from node.domain.result import ResultKind
from tests.validators import programs
from tests.viewers.conftest import Reading
from tests.viewers.looking import LOADED, SECONDS, coloured, failures, look, rest

pytestmark = pytest.mark.long


def opened(reading: Reading, name: str, kind: ResultKind, *, least: float = 0.001, tries: int = 60) -> float:
    """Open a series in OHIF, wait until its viewport is in colour and return the share of coloured pixels."""
    browser = reading.browser
    series = reading.series(name, kind)
    address = f"StudyInstanceUIDs={reading.study(name)}&initialSeriesInstanceUID={series}"
    browser.open(f"{reading.viewer.url}/viewer?{address}")
    browser.wait_for(LOADED, seconds=SECONDS, what=f"OHIF to open {name}")
    path = reading.pictures / f"ohif-{name}-{kind.value}.png"
    share = 0.0
    for _ in range(tries):
        share = look(browser, path)
        if share > least:
            break
    return share


@pytest.mark.parametrize("name", ["ct-positive", "cr-positive"])
def test_ohif_lists_every_series(name: str, reading: Reading) -> None:
    opened(reading, name, ResultKind.SUMMARY)
    shown = reading.browser.text()
    for item in reading.sets[name].objects:
        assert item.header.SeriesDescription in shown
        assert f"S:{item.header.SeriesNumber}" in shown


@pytest.mark.parametrize("name", ["ct-positive", "cr-positive"])
@pytest.mark.parametrize("kind", [ResultKind.HEATMAP, ResultKind.SUMMARY])
def test_ohif_shows_the_pictures_in_colour(name: str, kind: ResultKind, reading: Reading) -> None:
    assert opened(reading, name, kind) > 0.03
    assert failures(reading.browser) == []


def test_ohif_lays_a_map_over_the_slices(reading: Reading) -> None:
    """OHIF 3.13 takes a map for that of the whole stack."""
    assert opened(reading, "ct-every-slice", ResultKind.PARAMETRIC_MAP, least=0.03) > 0.03
    assert failures(reading.browser) == []


def test_ohif_shows_a_map_of_some_slices_on_those_alone(reading: Reading) -> None:
    """On the other slices stands padding, of which nothing is seen."""
    name, browser = "ct-positive", reading.browser
    made = pydicom.dcmread(*reading.sets[name].of(ResultKind.PARAMETRIC_MAP))
    slices = reading.sets[name].finding.slices
    heights = sorted(item.position for item in slices)
    mapped = {
        float(own.PlanePositionSequence[0].ImagePositionPatient[2])
        for own in made.PerFrameFunctionalGroupsSequence
        if "FrameComments" not in own.FrameContentSequence[0]
    }
    assert 0 < len(mapped) < len(heights) == made.NumberOfFrames
    opened(reading, name, ResultKind.PARAMETRIC_MAP, least=1.0, tries=8)
    assert failures(reading.browser) == []
    for _ in heights:
        browser.scroll(-1)
    rest(browser, 1000)
    shown = []
    for number in range(len(heights)):
        path = reading.pictures / f"ohif-{name}-map-slice-{number:02d}.png"
        shown.append(coloured(browser.screenshot(path)) > 0.02)
        browser.scroll(1)
        rest(browser, 300)
    expected = [height in mapped for height in heights]
    assert shown == expected[::-1]  # the wheel goes from head to feet
    assert failures(reading.browser) == []


def test_ohif_shows_the_report_on_the_strongest_slice(reading: Reading) -> None:
    assert opened(reading, "ct-positive", ResultKind.REPORT) > 0.001
    finding = reading.sets["ct-positive"].finding
    shown = reading.browser.text()
    assert f"Slices received: {finding.received:.2f}" in shown
    assert f"Slices positive (k): {finding.positive:.2f}" in shown
    assert "Certainty of Finding: " in shown
    strongest = max(finding.slices, key=lambda item: item.probability or 0.0)
    assert f"I:{strongest.instance_number} " in shown
    assert failures(reading.browser) == []


def test_ohif_shows_no_number_that_is_not_in_a_negative_report(reading: Reading) -> None:
    """It leaves out a 0 and shows the unit."""
    opened(reading, "ct-negative", ResultKind.REPORT)
    lines = reading.browser.text().splitlines()
    assert not [line for line in lines if re.search(r"positive.*: *1", line)]
    assert any("Slices positive (k): " in line for line in lines)
    assert failures(reading.browser) == []


@pytest.mark.parametrize("name", ["ct-not-analysed", "cr-positive"])
def test_ohif_opens_every_other_report(name: str, reading: Reading) -> None:
    assert opened(reading, name, ResultKind.REPORT) > 0.0005
    assert failures(reading.browser) == []


def test_the_page_of_the_pacs_lists_and_shows_the_results(reading: Reading) -> None:
    browser, name = reading.browser, "ct-positive"
    (found,) = reading.pacs.post(
        "/tools/find", {"Level": "Study", "Query": {"StudyInstanceUID": reading.study(name)}}
    )
    browser.open(f"http://127.0.0.1:{reading.pacs.http_port}/app/explorer.html#study?uuid={found}")
    descriptions = sorted({str(item.header.SeriesDescription) for item in reading.sets[name].objects})
    browser.wait_for(
        f"document.body.innerText.includes({descriptions[0]!r})", seconds=SECONDS, what="Orthanc's page"
    )
    browser.screenshot(reading.pictures / "orthanc-study.png")
    for description in descriptions:
        assert description in browser.text()
    for instance in reading.pacs.instances(reading.study(name), "OT"):
        tags = reading.pacs.get(f"/instances/{instance}/simplified-tags")
        if tags["SamplesPerPixel"] == "3":
            browser.open(f"http://127.0.0.1:{reading.pacs.http_port}/instances/{instance}/preview")
            browser.wait_for(
                "document.images.length && document.images[0].complete", seconds=30, what="preview"
            )
            assert (
                coloured(browser.screenshot(reading.pictures / f"orthanc-{tags['SeriesNumber']}.png")) > 0.01
            )


@pytest.mark.parametrize("name", ["ct-positive", "ct-not-analysed", "cr-positive"])
def test_the_report_as_a_page_says_what_it_is(name: str, reading: Reading) -> None:
    (report,) = reading.sets[name].of(ResultKind.REPORT)
    page, _ = programs.dsr2html(report)
    file = reading.pictures / f"dsr2html-{name}.html"
    file.write_text(page, encoding="utf-8")
    reading.browser.open(file.as_uri())
    reading.browser.wait_for("document.body.innerText.length > 500", seconds=30, what="the page")
    reading.browser.screenshot(file.with_suffix(".png"))
    text = " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())
    for said in ("Imaging Measurement Report", "not a diagnosis", "Outcome of the run", "Overall Assessment"):
        assert said in text
    assert reading.sets[name].finding.reason in text
