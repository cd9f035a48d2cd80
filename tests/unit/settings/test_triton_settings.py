"""The table of the inference server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from node.infer.triton_options import TlsOptions, TokenOptions
from node.settings.triton import TritonSettings


def test_the_defaults_speak_plain_text_to_loopback() -> None:
    options = TritonSettings().record()
    assert options.url == "127.0.0.1:8001"
    assert options.tls is None
    assert options.token is None
    assert not options.shared_memory
    assert not options.allow_old_server


def test_tls_and_token_become_records() -> None:
    options = TritonSettings(
        url="triton.example:8001",
        tls=True,
        root_certificates=Path("ca.pem"),
        client_certificate=Path("node.pem"),
        client_key=Path("node.key"),
        token_file=Path("token"),
    ).record()
    assert options.tls == TlsOptions(
        root_certificates=Path("ca.pem"), client_certificate=Path("node.pem"), client_key=Path("node.key")
    )
    assert options.token == TokenOptions(file=Path("token"), header="authorization", scheme="Bearer")


@pytest.mark.parametrize(
    "url", ["triton", ":8001", "triton:", "triton:0", "triton:65536", "http://triton:8001"]
)
def test_what_is_no_endpoint_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="no endpoint"):
        TritonSettings(url=url)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"root_certificates": "ca.pem"}, "given without tls"),
        ({"tls": True, "client_key": "node.key"}, "need each other"),
        ({"url": "triton.example:8001", "token_file": "token"}, "in clear"),
        ({"url": "10.0.0.7:8001", "token_file": "token"}, "in clear"),
        ({"token_header": "Authorization"}, "pattern"),
        ({"token_scheme": "Bearer x"}, "pattern"),
    ],
)
def test_what_does_not_agree_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TritonSettings(**values)


@pytest.mark.parametrize("url", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001"])
def test_a_token_may_stay_on_this_host_in_clear(url: str) -> None:
    assert TritonSettings(url=url, token_file=Path("token")).record().token is not None


def test_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    settings = TritonSettings(tls=True, root_certificates=Path("ca.pem")).anchored(tmp_path)
    assert settings.root_certificates == tmp_path / "ca.pem"
    assert settings.token_file is None
