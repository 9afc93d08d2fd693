"""Options: where and how the web is served."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hammerflow.errors import ConfigError
from hammerflow.text import safe_repr

__all__ = ["ServerOptions"]

#: A name with a letter: systems take numbers for addresses, and nothing at all for every address.
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


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
        if _address(self.host) is None and not _NAME.fullmatch(self.host):
            raise ConfigError(
                f"--host must be an IP address or the name of this machine, not "
                f"{safe_repr(self.host, 80)}"
            )
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
        address = _address(self.host)
        return self.host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
