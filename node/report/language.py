"""A data set in the language of its report: the meanings of codes."""

from __future__ import annotations

from pydicom.dataset import Dataset

from node.domain.wording import ENGLISH, Wording


def put_meanings(data_set: Dataset, words: Wording) -> None:
    """Put the meanings of a language in the places of the English ones that the node wrote; codes stay.

    Parameters
    ----------
    data_set : pydicom.dataset.Dataset
        Is changed, with everything below it.
    words : Wording
    """
    if words.language == ENGLISH.language:
        return
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value or ():
                put_meanings(item, words)
    value = str(data_set.get("CodeValue") or data_set.get("LongCodeValue") or "")
    if value and data_set.get("CodeMeaning") == ENGLISH.meanings.get(value):
        data_set.CodeMeaning = words.meanings[value]
