"""The OHIF viewer as its makers publish it, served beside the DICOMweb of a PACS: of one origin."""

from __future__ import annotations

import copy
import hashlib
import http.client
import http.server
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

VERSION: Final = "3.13.2"
PACKAGE: Final = f"@ohif/app@{VERSION}"
SHA256: Final = "b189d3963bfc58e9394a9db8c7be75d07beb029ec211dbb126d47b62969dd3f1"
"""Of the package in the registry: what was looked at is what is tested."""
DICOM_WEB: Final = "/dicom-web"
CONFIGURATION: Final[dict[str, Any]] = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showCPUFallbackMessage": False,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "pacs",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "pacs",
            "configuration": {
                "friendlyName": "PACS",
                "name": "pacs",
                "qidoSupportsIncludeField": False,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "omitQuotationForMultipartRequest": True,
                "bulkDataURI": {"enabled": True},
            },
        }
    ],
}
ROOTS: Final = ("qidoRoot", "wadoRoot", "wadoUriRoot")
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


def application() -> Path:
    """Return the folder of the viewer; fetched once into the environment of the tests."""
    folder = Path(sys.prefix) / "share" / f"ohif-{VERSION}"
    if not folder.is_dir():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as scratch:
            subprocess.run(
                ["npm", "pack", "--silent", PACKAGE, "--pack-destination", scratch],
                check=True,
                capture_output=True,
            )
            (archive,) = Path(scratch).glob("*.tgz")
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != SHA256:
                raise AssertionError(f"{PACKAGE} is not the package that was looked at: sha256 {found}")
            with tarfile.open(archive) as opened:
                opened.extractall(scratch, filter="data")
            folder.parent.mkdir(exist_ok=True)
            shutil.move(Path(scratch) / "package", folder)
    return folder / "dist"


def configured(root: str) -> bytes:
    """Return the settings of a viewer of the archive whose DICOMweb is at ``root``, a URL or a path."""
    configuration = copy.deepcopy(CONFIGURATION)
    configuration["dataSources"][0]["configuration"] |= dict.fromkeys(ROOTS, root)
    return f"window.config = {json.dumps(configuration)};".encode()


class ViewerServer:
    """Serves the viewer, and hands requests for DICOMweb on to a PACS.

    Parameters
    ----------
    pacs_port : int
        Of its HTTP server on this machine; its DICOMweb lies below ``/dicom-web``.
    """

    def __init__(self, pacs_port: int = 0) -> None:
        files = application().resolve()

        class Handler(_Handler):
            folder = files
            port = pacs_port
            configuration = configured(DICOM_WEB)

        self._handler = Handler
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def look_at(self, root: str) -> None:
        """Let the viewer ask another archive itself: one of another origin."""
        self._handler.configuration = configured(root)

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)


class _Handler(http.server.BaseHTTPRequestHandler):
    folder: Path
    port: int
    configuration: bytes
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith(DICOM_WEB):
            self._hand_on()
        elif path == "/app-config.js":
            self._answer(self.configuration, KINDS[".js"])
        else:
            file = (self.folder / path.lstrip("/")).resolve()
            if not (file.is_file() and file.is_relative_to(self.folder)):
                file = self.folder / "index.html"  # the viewer's own routes
            self._answer(file.read_bytes(), KINDS.get(file.suffix, "application/octet-stream"))

    def _hand_on(self) -> None:
        asked = {"Accept": self.headers.get("Accept", "*/*"), "Accept-Encoding": "identity"}
        own = {"Host": self.headers["Host"]}  # so that the PACS gives URLs of this origin
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", self.path, headers={**asked, **own})
            answer = connection.getresponse()
            self._answer(answer.read(), answer.headers.get("Content-Type", ""), answer.status)
        finally:
            connection.close()

    def _answer(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        # Both are asked for by SharedArrayBuffer, with which the viewer builds volumes.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the base class
        """Say nothing."""
