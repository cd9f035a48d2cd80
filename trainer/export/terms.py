"""What the data sets are, and the terms that weights fitted on them come under."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from node.domain.input_spec import InputSpec

DATA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sars-cov2-ct": "SARS-CoV-2 CT-scan data set (Soares et al. 2020), 8-bit pictures; CC BY-NC-SA 4.0",
        "covid-ct": "COVID-CT (Zhao et al. 2020), cut from papers; no licence stated, research use only",
        "folder": "class folders of the trainer's user; their licence is not known to the trainer",
        "dicom": "CT series, used for the source probe only",
        "dicom-labelled": "CT series of the trainer's user; their terms are not known to the trainer",
        "covid-ctset": "COVID-CTset (Rahimzadeh et al. 2021), 16-bit slices; see its own terms",
        "ct-cov19": "CT-COV19 (of the Deep-CT-Net paper), 8-bit pictures; no licence stated",
        "covid-chestxray": "ieee8023 chest radiographs (Cohen et al. 2020); a licence for each image",
        "chexpert": "CheXpert (Irvin et al. 2019); research use agreement of its owner",
        "kaggle-pneumonia": "children's chest radiographs (Kermany et al. 2018); CC BY 4.0",
    }
)
"""Kind -> what it is and its licence."""

SHARE_ALIKE: Final = """\
Use, copy and adapt them for research and teaching, not for commercial purposes, naming the data set above,
and pass adapted weights on under the same terms (Creative Commons Attribution-NonCommercial-ShareAlike 4.0
International, https://creativecommons.org/licenses/by-nc-sa/4.0/), as far as rights in the weights derive
from that data set."""

ATTRIBUTION: Final = """\
Use, copy and adapt them for research and teaching, naming the data set above (Creative Commons Attribution
4.0 International, https://creativecommons.org/licenses/by/4.0/), as far as rights in the weights derive from
that data set."""

OWN_DATA: Final = """\
Whoever fitted them on data of their own decides who may use them; the trainer knows no terms. Without the
consent of the data's owner use them for research within the owner's house only, and do not pass them on."""

UNSETTLED: Final = """\
The data set does not settle who may use what was derived from it. Use the weights for research only, not for
commercial purposes, name the data set above, and do not pass them on before its owner's terms allow it."""

PUBLISHED: Final = """\
They were fitted and published by the authors of that data set; the terms of the published file are not known
to the trainer. Use them for research only, name the authors, and do not pass them on before you know the
terms."""

TERMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sars-cov2-ct": SHARE_ALIKE,
        "kaggle-pneumonia": ATTRIBUTION,
        "folder": OWN_DATA,
        "dicom-labelled": OWN_DATA,
    }
)
"""Kind -> terms of weights fitted on it; all others are `UNSETTLED`."""


def licence_text(spec: InputSpec, trained_on: str, *, published: bool, parts: bool) -> str:
    """Return the terms of the weights: those of the data they were trained on.

    Parameters
    ----------
    spec : InputSpec
    trained_on : str
        Kind of the data set.
    published : bool
        The weights are somebody else's, imported.
    parts : bool
        The network contains parts that were fitted before, on other data.
    """
    terms = PUBLISHED if published else TERMS.get(trained_on, UNSETTLED)
    more = (
        "\nThe network contains parts that were fitted on other data sets; the terms of those hold as well.\n"
        if parts
        else ""
    )
    return f"""Terms of the weights in this folder ({spec.model.name})

These are research weights. They are not covered by the licence of the software around them.

They were trained on:
  - {DATA[trained_on]}

{terms}
{more}
No warranty of any kind. Not a medical device. Not for diagnosis or for decisions about a patient.
"""
