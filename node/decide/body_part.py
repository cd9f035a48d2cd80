"""Whether a series may show the chest, by BodyPartExamined and what people wrote."""

from __future__ import annotations

import re

from node.domain.study import InstanceHeader

CHEST = re.compile(
    r"CHEST|THORA|LUNG|PULMO|TRUNK|WHOLE ?BODY|POUMON|TORA[XC]|TÓRAX|BRUST|\bCAP\b|\bTAP\b|HRCT"
)
"""Words for the chest, or for more than it, in the languages of Western Europe."""

OTHER_PARTS = re.compile(  # defined terms of PS3.16 Annex L that exclude the chest
    r"ABDOMEN|PELVIS|HEAD|BRAIN|SKULL|NECK|SINUS|FACE|ORBIT|EAR$|JAW|MANDIBLE|MAXILLA"
    r"|SPINE|SACRUM|COCCYX|HIP|LEG|THIGH|KNEE|CALF|ANKLE|FOOT|TOE|EXTREMITY|ARM|SHOULDER|ELBOW|WRIST|HAND"
    r"|FINGER|THUMB|CLAVIC|SCAPULA|HUMERUS|FEMUR|TIBIA|FIBULA|PATELLA|CALCANEUS|\bHEEL|\bRADIUS|\bULNA"
    r"|BECKEN|SCHULTER|LIVER|KIDNEY|PANCREAS|BLADDER|PROSTATE|UTERUS|COLON|RECTUM|BOWEL"
)


def other_body_part(header: InstanceHeader) -> str | None:
    """Return the body part of a series that does not show the chest, None when it shows it or may show it.

    BodyPartExamined is set by protocol and often wrong, so a description that names the chest outweighs it;
    the study's own does not where the series' description confirms the other part, for a study of chest and
    abdomen may hold a series of each. An unknown term says nothing.

    Parameters
    ----------
    header : InstanceHeader
        Of any instance of the series.
    """
    part = header.body_part_examined.upper()
    series = header.series_description.upper()
    if CHEST.search(part) or CHEST.search(series) or not OTHER_PARTS.search(part):
        return None
    if not OTHER_PARTS.search(series) and CHEST.search(header.study_description.upper()):
        return None
    return part
