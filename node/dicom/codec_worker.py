"""The codec process; see `node.dicom.process_inside`. Native code reads bytes of a peer here."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from node.dicom.codec_wire import MOST_RESULT_BYTES, Request, Task, image_answer
from node.dicom.codecs import InProcessCodecs
from node.dicom.process_inside import serve
from node.dicom.process_wire import MOST_TEXT, Answer, read_bytes, write_from
from node.domain.errors import DicomError


def served(values: dict[str, Any], pixels: int) -> Answer:
    """Work on one frame."""
    request = Request.read(values)
    data = read_bytes(pixels, request.size)
    if data is None:
        return {"refused": "the frame did not arrive"}
    codecs = InProcessCodecs()
    try:
        if request.task is Task.ENCODE:
            codestream = codecs.encode(data, request.transfer_syntax_uid, request.layout)
            write_from(pixels, codestream)
            return {"size": len(codestream)}
        image = codecs.decode(data, request.transfer_syntax_uid, request.layout)
        write_from(pixels, np.ascontiguousarray(image.words).data)
    except DicomError as error:
        return {"refused": str(error).encode("ascii", "replace")[:MOST_TEXT].decode("ascii")}
    return image_answer(image)


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1:], served, most_bytes=MOST_RESULT_BYTES))
