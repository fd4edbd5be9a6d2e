# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the certificate that a service presents to clients with the one on disk."""

from __future__ import annotations

import contextlib
import socket
import ssl
import typing as t

END = "-----END CERTIFICATE-----\n"
# Where to connect to a service that listens on all addresses.
LOCAL = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::*": "::1", "::": "::1"}  # noqa: S104  # nothing listens here


def read_first(path: str) -> bytes:
    """Return the first certificate of a chain, which is that of the service, in DER.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has no certificate.
    """
    with open(path, encoding="utf-8") as handle:
        first, end, _others = handle.read().partition(END)
    if not end:
        raise ValueError(f"{path} has no certificate")
    return ssl.PEM_cert_to_DER_cert(first + end)


def read_served(
    address: str,
    port: int,
    prepare: t.Callable[[socket.socket], None] | None = None,
    client: tuple[str, str] | None = None,
    name: str = "",
    context: ssl.SSLContext | None = None,
) -> bytes | None:
    """Return the certificate that a service presents, in DER.

    Args:
        address: the address on which it listens; one that means all addresses is replaced by a local one.
        port: its port.
        prepare: what to send and receive before TLS begins.
        client: certificate and key to present, for a service that requires a certificate of its clients.
        name: the name to request, for a service that has several certificates.
        context: verifies the certificate; without it, nothing is verified.

    Raises:
        ssl.SSLCertVerificationError: the context does not accept the certificate.
        OSError: the service cannot be reached, or does not use TLS.
    """
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # No validation: the certificate is only compared with the one on disk, which may be invalid too.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client:
        context.load_cert_chain(*client)
    with socket.create_connection((LOCAL.get(address, address), port), 10) as plain:
        if prepare:
            prepare(plain)
        with context.wrap_socket(plain, server_hostname=name or None) as secure:
            served = secure.getpeercert(binary_form=True)
            # Without this the service may log an aborted connection.
            with contextlib.suppress(OSError):
                secure.unwrap()
            return served
