"""The application entity: pynetdicom's AE with the node's identity, limits and library settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pynetdicom import AE, _config, register_uid
from pynetdicom.service_class import StorageServiceClass

from node.dimse.contexts import PRIVATE_STORAGE, retired_storage
from node.dimse.messages import BoundedMessages
from node.dimse.reactor import make_prompt
from node.dimse.sockets import CallingSocket

if TYPE_CHECKING:
    from ssl import SSLContext

    from pynetdicom.association import Association
    from pynetdicom.transport import AddressInformation

DEFAULT_MAX_PDU = 131072
"""128 KiB: a CT slice of 512 x 512 x 2 bytes takes five P-DATA-TF PDUs instead of the 33 of 16 KiB."""


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long this node waits for a peer, in seconds."""

    connect: float = 10.0
    """For the TCP connection."""
    acse: float = 30.0
    """For an answer to A-ASSOCIATE, A-RELEASE and A-ABORT."""
    dimse: float = 60.0
    """For a DIMSE response."""
    network: float = 60.0
    """Without any PDU, the association is aborted."""


class Entity(AE):
    """An application entity whose own associations wait for nobody for ever and take bounded answers."""

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[SSLContext, str] | None,
    ) -> CallingSocket:
        make_prompt(assoc)  # both here, before the association starts
        assoc.dimse = BoundedMessages(assoc)
        seconds = Timeouts.network if self.network_timeout is None else self.network_timeout
        return CallingSocket(assoc, address, max_pdu=self.maximum_pdu_size, seconds=seconds, tls=tls_args)


def application_entity(ae_title: str, *, max_pdu: int = DEFAULT_MAX_PDU, timeouts: Timeouts) -> Entity:
    """Return an application entity.

    The library keeps some of its settings in module attributes; every entity of this node needs the same,
    so they are set here, where all entities are made.

    Parameters
    ----------
    ae_title : str
        Own AE title.
    max_pdu : int
        Bytes of one P-DATA-TF PDU that this entity accepts (PS3.8 D.1).
    timeouts : Timeouts
        How long it waits.
    """
    _config.LOG_HANDLER_LEVEL = "none"  # the default handlers print identifiers of objects
    _config.STORE_SEND_CHUNKED_DATASET = True  # data sets are sent as they lie in the file
    for keyword, uid in {**retired_storage(), **PRIVATE_STORAGE}.items():
        register_uid(uid, keyword, StorageServiceClass)
    entity = Entity(ae_title=ae_title)
    entity.maximum_pdu_size = max_pdu
    entity.connection_timeout = timeouts.connect
    entity.acse_timeout = timeouts.acse
    entity.dimse_timeout = timeouts.dimse
    entity.network_timeout = timeouts.network
    return entity
