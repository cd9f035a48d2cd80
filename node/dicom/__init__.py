"""DICOM objects to the node's vocabulary: headers, text, pixel data, comparison, synthetic series."""
