"""The client against a server that proves who it is, asks who calls, and wants a token."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from node.app import SystemClock
from node.domain.errors import EngineUnavailable, SettingsError
from node.infer.triton import TritonScorer
from node.infer.triton_options import TlsOptions, TokenOptions
from tests.certificates import Authority
from tests.station.test_triton_scorer import assert_right, batch_of
from tests.triton_server import Site, options_for, start_site

SECRET = "only-for-the-node"
GUARDED = "health,metadata,inference,statistics,model-config"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guarded:
    """A server with TLS on both sides, whose calls need a token, and what a node needs to get in."""

    site: Site
    tls: TlsOptions
    token: TokenOptions
    folder: Path

    def scorer(self, **changes: Any) -> TritonScorer:
        options = options_for(self.site.running, **{"tls": self.tls, "token": self.token, **changes})
        return TritonScorer(self.site.tiny, options, clock=SystemClock())


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = Authority(folder / "authority")
    server, client = authority.sign("server"), authority.sign("client")
    (folder / "token").write_text(f"{SECRET}\n")
    site = start_site(
        folder,
        ["tiny"],
        [
            "--grpc-use-ssl=true",
            "--grpc-use-ssl-mutual=true",
            f"--grpc-server-cert={server.certificate}",
            f"--grpc-server-key={server.key}",
            f"--grpc-root-cert={authority.root.certificate}",
            f"--grpc-restricted-protocol={GUARDED}:key=Bearer {SECRET}",
        ],
    )
    yield Guarded(
        site=site,
        tls=TlsOptions(
            root_certificates=authority.root.certificate,
            client_certificate=client.certificate,
            client_key=client.key,
        ),
        # The server looks for the token under this prefix.
        token=TokenOptions(file=folder / "token", header="triton-grpc-protocol-key", scheme="Bearer"),
        folder=folder,
    )
    site.kill()
    site.server.down()


def test_with_certificate_and_token_it_answers(guarded: Guarded) -> None:
    with closing(guarded.scorer()) as scorer:
        assert_right("tiny", batch_of(3), scorer.score(batch_of(3)))


def plain(_: Guarded) -> dict[str, Any]:
    return {"tls": None}


def without_certificate(guarded: Guarded) -> dict[str, Any]:
    return {"tls": dataclasses.replace(guarded.tls, client_certificate=None, client_key=None)}


def with_another_authority(guarded: Guarded) -> dict[str, Any]:
    other = Authority(guarded.folder / "other")
    return {"tls": dataclasses.replace(guarded.tls, root_certificates=other.root.certificate)}


def with_a_certificate_of_another_authority(guarded: Guarded) -> dict[str, Any]:
    signed = Authority(guarded.folder / "other").sign("client")
    tls = dataclasses.replace(guarded.tls, client_certificate=signed.certificate, client_key=signed.key)
    return {"tls": tls}


def without_token(_: Guarded) -> dict[str, Any]:
    return {"token": None}


@pytest.mark.parametrize(
    "change",
    [
        plain,
        without_certificate,
        with_another_authority,
        with_a_certificate_of_another_authority,
        without_token,
    ],
)
def test_anything_less_is_not_answered(guarded: Guarded, change: Callable[[Guarded], dict[str, Any]]) -> None:
    with (
        closing(guarded.scorer(attempts=1, **change(guarded))) as scorer,
        pytest.raises(EngineUnavailable, match="UNAVAILABLE"),
    ):
        scorer.score(batch_of(1))


def test_a_token_is_read_for_every_call_and_told_to_nobody(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = guarded.token.file
    with closing(guarded.scorer(attempts=1)) as scorer:
        assert_right("tiny", batch_of(1), scorer.score(batch_of(1)))
        for text in ("", "an-old-secret\n"):
            try:
                file.write_text(text)
                with pytest.raises(EngineUnavailable) as refused:
                    scorer.score(batch_of(1))
            finally:
                file.write_text(f"{SECRET}\n")
            assert_right("tiny", batch_of(1), scorer.score(batch_of(1)))
    for secret in (SECRET, "an-old-secret"):
        assert secret not in str(refused.value)
        assert secret not in caplog.text


@pytest.mark.parametrize("text", ["", "two words\n", "line\nline\n", "ü\n", "x" * 20_000])
def test_what_is_no_token_is_refused_without_showing_it(guarded: Guarded, tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="holds no token") as refused:
        guarded.scorer(token=dataclasses.replace(guarded.token, file=file))
    assert not text or text not in str(refused.value)
