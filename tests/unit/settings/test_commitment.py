"""The table of storage commitment: what would commit the node to nothing, or tell nobody, is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from node.commitments import ground_of
from node.domain.commitment import Ground
from node.domain.errors import SettingsError
from node.settings.commitment import CommitmentSettings, RequesterSettings
from node.settings.settings import Settings

PEER = {"ae_title": "CT1", "addresses": ["127.0.0.1"], "rights": ["commitment"]}
PACS = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
FOLDER = {"name": "pacs", "kind": "folder", "path": "results"}
RELAY = {"enabled": True, "relay_to": "pacs"}


def test_off_unless_told_otherwise():
    assert not CommitmentSettings().enabled
    assert CommitmentSettings().ground is Ground.RELAY


def test_what_can_be_told_to_nobody_is_refused():
    with pytest.raises(ValidationError, match="relay_to"):
        CommitmentSettings(enabled=True)
    with pytest.raises(ValidationError, match="same_association"):
        RequesterSettings(ae_title="CT1")
    assert RequesterSettings(ae_title="CT1", same_association=True).host == ""


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        (
            {"commitment": RELAY, "peers": [PEER], "destinations": [PACS]},
            "CT1 may ask; PACS at 127.0.0.1:104",
        ),
        ({"commitment": {"enabled": True, "ground": "keep"}, "peers": [PEER]}, "never removed from here"),
    ],
)
def test_the_ground_is_told(tables, said):
    assert said in ground_of(Settings.model_validate(tables))


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ({"commitment": RELAY, "destinations": [PACS]}, "no peer has the right"),
        ({"commitment": RELAY, "peers": [PEER]}, "no destination 'pacs'"),
        ({"commitment": RELAY, "peers": [PEER], "destinations": [FOLDER]}, "of kind dicom"),
    ],
)
def test_a_ground_that_is_not_there_is_said(tables, problem):
    with pytest.raises(SettingsError, match=problem):
        ground_of(Settings.model_validate(tables))
