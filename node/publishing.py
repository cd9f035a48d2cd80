"""The DICOMweb service of this node, from the settings."""
