"""From which address a request comes, for limits; behind a proxy see `trusted_proxies`."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from app.web.requests import AnyRequest

IPV6_PREFIX_BITS = 64
"""One household or server is given a whole /64, and uses as many of its addresses as it likes."""


def address_of(request: AnyRequest) -> str:
    """Return the address that asks, as the server knows it; empty if it knows none."""
    return request.client.host if request.client is not None else ""


def network_of(address: str) -> str:
    """Return what counts as one: an IPv4 address, a /64 of IPv6, or any other text as it is."""
    try:
        ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ip_network((ip, IPV6_PREFIX_BITS), strict=False))
    return str(ip)
