"""The tables of DICOMweb metadata: the data sets of stored objects as JSON, made once."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from node.store.columns import metadata

# By the digest of the bytes: what is written for one object stays true as long as the object is there.
object_metadata = Table(
    "object_metadata",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("object_key", String, nullable=False, unique=True),
    # DICOM JSON (PS3.18 annex F), deflated; see node.dicom.json_model.
    Column("document", LargeBinary, nullable=False),
)

# Up to which row of a table the background work has come.
metadata_progress = Table(
    "metadata_progress",
    metadata,
    Column("source", String, primary_key=True),
    Column("last_id", Integer, nullable=False),
    sqlite_with_rowid=False,
)
