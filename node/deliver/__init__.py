"""The station that brings result objects to their destinations: the courier and its DICOM sender."""
