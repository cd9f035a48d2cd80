"""Secrets, read where the settings say they are, at each use: a new one needs no restart."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from node.domain.errors import DestinationUnavailable
from node.domain.network import SecretSource, WebAccess

MAX_BYTES: Final = 16 * 1024
"""Longest secret: a bearer token of a large identity provider is about 4 KiB."""


class SecretReader:
    """Reads secrets from the environment and from files.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def read(self, source: SecretSource) -> bytes:
        """Return a secret without white space around it.

        Raises
        ------
        DestinationUnavailable
            It is not there, empty or too long. The message says where it was looked for, never what it is.
        """
        if source.file is None:
            where = f"the environment variable {source.variable}"
            found = self._environ.get(source.variable, "").encode(errors="surrogateescape")
        else:
            where = str(source.file)
            try:
                with source.file.open("rb") as stream:
                    found = stream.read(MAX_BYTES + 1)
            except OSError as error:
                raise DestinationUnavailable(
                    f"the secret in {where} cannot be read ({error.strerror}); put it there"
                ) from error
        secret = found.strip()
        if not 0 < len(secret) <= MAX_BYTES:
            raise DestinationUnavailable(f"there is no secret in {where}; put it there")
        return secret

    def authorization(self, access: WebAccess) -> str:
        """Return the value of the Authorization header, or nothing where there are no credentials.

        Raises
        ------
        DestinationUnavailable
            A secret is not there, or no token by RFC 6750.
        """
        if access.token is not None:
            token = self.read(access.token)
            if any(not 0x21 <= byte <= 0x7E for byte in token):
                raise DestinationUnavailable("the token holds other than visible ASCII; correct its source")
            return f"Bearer {token.decode('ascii')}"
        if access.password is not None:
            pair = access.user.encode() + b":" + self.read(access.password)
            return f"Basic {base64.b64encode(pair).decode('ascii')}"  # RFC 7617
        return ""
