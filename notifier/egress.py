"""Dialling out to where a tenant said: the address really connected to is judged, after DNS, at the socket."""

import ipaddress
import socket
from typing import Any, Final

import aiohttp

TOTAL_SECONDS: Final = 15
CONNECT_SECONDS: Final = 5

_REFUSED: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",  # unspecified, loopback, v4-compatible
        "::ffff:0:0/96",  # v4-mapped: judged by the address inside, never dialled as such
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # Teredo and other special uses
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


class AddressRefused(OSError):
    """The name leads to an address that nobody outside may make us dial."""


def is_public(address: str) -> bool:
    """Whether a receiver may be there: none of the private, special and embedding ranges (IANA's registries)."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return not any(parsed in network for network in _REFUSED if network.version == parsed.version)


def make_connector(*, allow_private: bool) -> aiohttp.TCPConnector:
    """A connector that refuses such addresses with `AddressRefused`, whatever name, literal or rebinding led there."""
    factory = None if allow_private else _make_guarded_socket
    return aiohttp.TCPConnector(limit=100, limit_per_host=8, ttl_dns_cache=10, socket_factory=factory)


def _make_guarded_socket(address_info: Any) -> socket.socket:
    family, kind, protocol, _, address = address_info
    if not is_public(str(address[0])):
        raise AddressRefused("the receiver's address is not a public one")
    return socket.socket(family=family, type=kind, proto=protocol)


def make_session(*, allow_private: bool) -> aiohttp.ClientSession:
    """A session for receivers: guarded, no proxy from the environment, no cookies kept, everything timed out."""
    return aiohttp.ClientSession(
        connector=make_connector(allow_private=allow_private),
        timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )
