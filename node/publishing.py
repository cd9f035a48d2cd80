"""The DICOMweb service of this node, from the settings."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from functools import partial

from node.dicom.transcode import Transcoder
from node.dimse.services import StorageServices
from node.domain.errors import DestinationUnavailable, SettingsError
from node.domain.network import SecretSource
from node.domain.ports import Clock
from node.http.credentials import SecretReader
from node.settings.settings import Settings
from node.store.searching import Search
from node.store.store import Store
from node.web.access import Access, Client
from node.web.bulkdata import BulkDataResource
from node.web.capabilities import Capabilities
from node.web.frames import FrameResource
from node.web.metadata import MetadataService
from node.web.qido import SearchService
from node.web.rendered import RenderedResource
from node.web.resources import Resource, ServiceUrl
from node.web.server import Bind, WebServer
from node.web.sparing import spare
from node.web.stow import StowLimits, StowResource
from node.web.visits import Visits
from node.web.wado import WadoResource

logger = logging.getLogger(__name__)

SHORTEST_TOKEN = 16
"""Bytes of a token."""
MOST_STORING = 128
"""Requests to store that are worked on at once, whatever connections there may be: each takes a thread."""


def publish(
    settings: Settings,
    store: Store,
    storage: StorageServices,
    *,
    clock: Clock,
    opened: ExitStack,
) -> None:
    """Start the service where the settings enable it, and stop it when ``opened`` ends.

    Parameters
    ----------
    settings : Settings
    store : Store
    storage : StorageServices
        Takes what comes by STOW-RS.
    clock : Clock
    opened : ExitStack

    Raises
    ------
    SettingsError
        The token is not there or too short, or the address cannot be had.
    """
    web = settings.web
    if not web.enabled:
        return
    spare(clock, opened)
    visits = Visits(storage, clock)
    opened.callback(visits.close)
    server = web_server(settings, store, storage, visits=visits)
    try:
        port = server.start()
    except OSError as error:
        raise SettingsError(
            f"web: cannot listen on {web.host}:{web.port} ({error.strerror or error}); "
            "free it or choose another, and look at certificate and key"
        ) from error
    opened.callback(server.stop)
    logger.info("DICOMweb on %s:%d%s", web.host, port, web.path)
    if web.anonymous:
        logger.warning("DICOMweb asks for no token: who calls from %s may read", ", ".join(web.addresses))


def web_server(settings: Settings, store: Store, storage: StorageServices, *, visits: Visits) -> WebServer:
    """Return the service, not started.

    Raises
    ------
    SettingsError
    """
    web = settings.web
    url = ServiceUrl(path=web.path, public=web.public_url or "", any_name=not web.anonymous)
    served = _resources(settings, store, storage, visits, url=url)
    return WebServer(
        Bind(
            host=web.host,
            port=web.port,
            path=web.path,
            certificate=web.certificate,
            key=web.key,
            max_connections=web.max_connections,
            idle_seconds=web.idle_seconds,
        ),
        [*served, *Capabilities(served, url=url).resources()],
        access=access_of(settings),
        url=url,
        origins=web.origins,
    )


def _resources(
    settings: Settings,
    store: Store,
    storage: StorageServices,
    visits: Visits,
    *,
    url: ServiceUrl,
) -> list[Resource]:
    """Return everything that is served."""
    stow = StowResource(
        storage,
        visits,
        url=url,
        calling_ae_title=settings.web.ae_title,
        called_ae_title=settings.node.ae_title,
        limits=StowLimits(
            request_bytes=settings.web.max_request_bytes,
            object_bytes=settings.limits.max_object_bytes,
            requests=min(settings.web.max_connections, MOST_STORING),
        ),
    )
    search = SearchService(
        Search(store.matches, store.files),
        store.database.clock,
        seconds=settings.web.search_seconds,
        url=url,
        ae_title=settings.node.ae_title,
    )
    metadata = MetadataService(store.stored, store.metadata, url=url)
    return [
        *search.resources(),
        *metadata.resources(),
        *stow.resources(),
        *_retrieving(store, url=url),
    ]


def _retrieving(store: Store, *, url: ServiceUrl) -> list[Resource]:
    transcoder = Transcoder(store.codecs)
    files = store.damage  # an operator hears of those that are missing or damaged
    frames = FrameResource(store.stored, files, transcoder, url=url)
    return [
        *WadoResource(store.stored, files, transcoder).resources(),
        *frames.resources(),
        *BulkDataResource(store.stored, files, frames).resources(),
        *RenderedResource(store.stored, files, store.codecs).resources(),
    ]


def access_of(settings: Settings) -> Access:
    """Return who may call the service.

    Raises
    ------
    SettingsError
        A token is not there or too short, or two clients have the same.
    """
    web = settings.web
    reader = SecretReader(os.environ)
    sources = {f"web.clients {item.ae_title}": item.token_source() for item in web.clients}
    common = web.token_source()
    if common is not None:
        sources["web.token"] = common
    tokens = [_token(reader, name, source) for name, source in sources.items()]
    if len(set(tokens)) < len(tokens):
        raise SettingsError("web: two clients have the same token; make one for each")
    clients = [
        Client(ae_title=item.ae_title, rights=item.rights, token=partial(reader.read, item.token_source()))
        for item in web.clients
    ]
    token = None if common is None else partial(reader.read, common)
    return Access(web.addresses, web.rights, token, clients)


def _token(reader: SecretReader, name: str, source: SecretSource) -> bytes:
    try:
        token = reader.read(source)
    except DestinationUnavailable as error:
        raise SettingsError(f"{name}: {error}") from error
    if len(token) < SHORTEST_TOKEN:
        raise SettingsError(f"{name}: it is shorter than {SHORTEST_TOKEN} bytes; choose a longer one")
    return token
