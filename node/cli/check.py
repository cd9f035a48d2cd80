"""``check``: whether the node would run with these settings, and whether destinations and archives answer."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import typer

from node.app import SystemClock
from node.cli.exits import ExitCode
from node.cli.models import known_store
from node.cli.options import ConfigOption, JsonOption, settings_of
from node.cli.output import counted, show, show_json, table
from node.commitments import ground_of
from node.dimse.certificates import require_in_force, server_context
from node.domain.archives import Archive, DicomArchive, Retrieval, Sought
from node.domain.errors import GroundglassError
from node.domain.identity import derived_uid
from node.domain.network import Destination, DicomDestination, Peer, Proof, Right, TlsListen
from node.fetching import searching
from node.operate.health import ask, port_is_free
from node.outlets import sender_to
from node.publishing import access_of
from node.serving import open_engine
from node.settings.settings import Settings

NOBODYS_STUDY = derived_uid("groundglass", "a study that is nowhere")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    subject: str
    passed: bool
    detail: str
    warning: bool = False
    """Whether it passed, and somebody should look nevertheless."""

    @property
    def verdict(self) -> str:
        """Return the word for it."""
        if not self.passed:
            return "FAILED"
        return "warning" if self.warning else "ok"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check settings, ports, model with its golden replay, and whether destinations and archives answer."""
    checks = list(_checks(settings_of(config)))
    if as_json:
        show_json([asdict(item) for item in checks])
    else:
        rows = [(item.verdict, item.subject, item.detail) for item in checks]
        show(table("Checks", ("", "what", "detail"), rows))
    if not all(item.passed for item in checks):
        raise typer.Exit(ExitCode.NOT_READY)


def _checks(settings: Settings) -> Iterator[Check]:
    yield Check(
        subject="settings", passed=True, detail=f"{counted(len(settings.peers), 'peer', 'peers')} may call"
    )
    running = settings.health.enabled and ask(settings.health.host, settings.health.port) is not None
    yield from _listening(settings, running=running)
    if settings.health.enabled:
        yield _port("health.port", settings.health.host, settings.health.port, running=running)
    if settings.web.enabled:
        yield _port("web.port", settings.web.host, settings.web.port, running=running)
        yield _attempt("web.token", lambda: _token(settings))
    if settings.commitment.enabled:
        yield _attempt("commitment", lambda: ground_of(settings))
    yield _attempt("model", lambda: _replay(settings))
    for destination in settings.destination_records():
        yield _attempt(f"destination {destination.name}", partial(_echo, destination, settings))
        if isinstance(destination, DicomDestination):
            yield from _proof(destination, settings.peer_records())
    for archive in settings.archive_records():
        yield _attempt(f"archive {archive.name}", partial(_search, archive, settings))
        if isinstance(archive, DicomArchive) and archive.retrieval is Retrieval.MOVE:
            yield from _way_here(archive, settings.peer_records())


def _search(archive: Archive, settings: Settings) -> str:
    """Look for a study that is nowhere: the archive must let the node ask."""
    with searching(archive, settings, clock=SystemClock()) as session:
        session.studies(Sought(study_instance_uids=(NOBODYS_STUDY,)), limit=1)
    return f"{archive.address} answers queries"


def _way_here(archive: DicomArchive, peers: Iterable[Peer]) -> Iterator[Check]:
    """Warn where an archive that sends by C-MOVE may not store here."""
    if not any(peer.ae_title == archive.ae_title and Right.STORE in peer.rights for peer in peers):
        yield Check(
            subject=f"way from {archive.name}",
            passed=True,
            warning=True,
            detail=f"no peer {archive.ae_title!r} has the right `store`: unless the archive sends under "
            "another AE title, nothing of it comes in; add it under [[peers]]",
        )


def _proof(destination: DicomDestination, peers: Iterable[Peer]) -> Iterator[Check]:
    """Warn where a destination that must report storage commitment may not call this node to do so."""
    may_report = any(
        peer.ae_title == destination.ae_title and Right.COMMITMENT in peer.rights for peer in peers
    )
    if destination.proof is Proof.COMMITMENT and not may_report:
        yield Check(
            subject=f"proof of {destination.name}",
            passed=True,
            warning=True,
            detail=f"no peer {destination.ae_title!r} has the right `commitment`: unless it reports on the "
            "association of the request, nothing sent there is ever proven; add it under [[peers]]",
        )


def _port(key: str, host: str, port: int, *, running: bool) -> Check:
    if port_is_free(host, port):
        return Check(subject=key, passed=True, detail=f"{host}:{port} is free")
    detail = "taken by the node that runs" if running else "taken; free it or choose another"
    return Check(subject=key, passed=running, detail=f"{host}:{port} is {detail}")


def _listening(settings: Settings, *, running: bool) -> Iterator[Check]:
    """Look at the ports of associations, and at the certificate that the node shows."""
    host, tls = settings.node.host, settings.tls
    if tls.plain:
        yield _port("node.port", host, settings.node.port, running=running)
    if tls.port is not None:
        yield _port("tls.port", host, tls.port, running=running)
    if tls.certificate is not None and tls.key is not None:
        yield _attempt("tls.certificate", partial(_certificate, tls.certificate, tls.key, tls.listen()))
        yield from is_private(tls.key)
    yield from shut_out(settings.peer_records(), tls.listen())


def is_private(key: Path) -> Iterator[Check]:
    """Warn where everybody on this machine can read the key; the certificate is looked at elsewhere."""
    with suppress(OSError):
        if key.stat().st_mode & stat.S_IROTH:
            detail = f"everybody on this machine can read {key.name}; take that right away (chmod o-r)"
            yield Check(subject="tls.key", passed=True, warning=True, detail=detail)


def shut_out(peers: Iterable[Peer], listen: TlsListen | None) -> Iterator[Check]:
    """Warn of peers that may call over TLS alone, and cannot."""
    for peer in peers:
        if not peer.tls:
            continue
        if listen is None:
            detail = "it may call over TLS alone, and no port is open for it; give [tls] a port"
        elif peer.certificates and listen.ca_file is None:
            detail = "it is bound to a certificate, and none is verified; give [tls] a ca_file"
        else:
            continue
        yield Check(subject=f"peer {peer.ae_title}", passed=True, warning=True, detail=detail)


def _certificate(certificate: Path, key: Path, listen: TlsListen | None) -> str:
    """Load what the node would listen with, and make a handshake with it in memory."""
    if listen is not None:
        server_context(listen)
    until = require_in_force(certificate, key, calling=listen is None)
    return f"{certificate.name} is in force until {until}"


def _attempt(subject: str, action: Callable[[], str]) -> Check:
    try:
        return Check(subject=subject, passed=True, detail=action())
    except GroundglassError as error:
        return Check(subject=subject, passed=False, detail=str(error))


def _token(settings: Settings) -> str:
    access_of(settings)
    return "none is asked for" if settings.web.anonymous else "it is there"


def _replay(settings: Settings) -> str:
    """Shake hands with the model's folder and replay the golden answer."""
    with known_store(settings) as store:
        engine = open_engine(settings, store, SystemClock())
    with closing(engine.scorer):
        engine.replay()
        model = engine.scorer.identity
    return f"{model.name} version {model.version} ({model.status.value}): digests agree, golden replay passed"


def _echo(destination: Destination, settings: Settings) -> str:
    sender_to(destination, settings, SystemClock()).echo()
    return f"{destination.address} answers"
