"""Groundglass: an AI node for the hospital's DICOM network."""
