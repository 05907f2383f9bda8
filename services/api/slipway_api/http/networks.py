"""Group client addresses by network."""

import ipaddress

IPV6_HOST_BITS = 64


def network_of(address: str | None) -> str:
    """Return the network that an address is counted as: an IPv4 address itself, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), 128 - IPV6_HOST_BITS), strict=False))
