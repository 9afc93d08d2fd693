"""Options: where and how the web is served."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr

__all__ = ["ServerOptions"]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where and how the web is served.

    Attributes:
        host: the address to listen at.
        port: 0 takes a free one.
        hosts: further names by which it may be called, as behind a tunnel or a proxy.
        certificate: a file with the certificate of the server and those between it and its
            authority, in PEM; None: without TLS.
        key: the file of its private key; None: it is in the certificate's.
        proxies: addresses or networks whose headers ``X-Forwarded-For`` and ``-Proto`` are
            believed.
        is_read_only: nobody may change anything.
        seconds: end after this time; None for no limit.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    hosts: Sequence[str] = ()
    certificate: str | None = None
    key: str | None = None
    proxies: Sequence[str] = ()
    is_read_only: bool = False
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.key is not None and self.certificate is None:
            raise ConfigError("web has a --tls-key without a certificate: give --tls-cert, too")
        for proxy in self.proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise ConfigError(
                    f"a --proxy must be an IP address or a network, such as 10.2.0.0/16, not "
                    f"{safe_repr(proxy, 80)}"
                ) from None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect: then whoever started the server gets a link."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
