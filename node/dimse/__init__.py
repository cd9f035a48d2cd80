"""The shared ground of DIMSE: entity, admission, listening, incoming objects, associations as SCU."""
