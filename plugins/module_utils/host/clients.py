# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build clients of services: they get what they are given, and nothing from the environment of this process.

Libraries read credentials, proxies, certificate authorities and defaults from variables and from files in the home
directory. An operator, an administrator (/etc/environment) or another tool may have set these for another purpose.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import typing as t
import urllib.request

from . import programs


@contextlib.contextmanager
def clean_environment() -> t.Iterator[None]:
    """Have only the variables of programs.ENVIRONMENT in this process, also for libraries in C; restore it at the end.

    For the construction of clients, which read variables only then. Threads share the environment.
    """
    before = dict(os.environ)
    try:
        _replace_environment(programs.ENVIRONMENT)
        yield
    finally:
        _replace_environment(before)


def _replace_environment(variables: t.Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def make_tls_context(ca_file: str = "", ca_data: str = "") -> ssl.SSLContext:
    """Return a context that trusts the system's certificate authorities, and those in a file or a text.

    Raises:
        OSError: the file cannot be read, or has no certificate.
    """
    with clean_environment():
        context = ssl.create_default_context()
    if ca_file or ca_data:
        context.load_verify_locations(cafile=ca_file or None, cadata=ca_data or None)
    return context


def open_url(
    url: str,
    *,
    headers: t.Mapping[str, str] | None = None,
    timeout: float,
    proxy: str = "",
    method: str = "GET",
    data: bytes | None = None,
) -> t.Any:
    """Open a URL without a proxy, or through the given one; the response is a context.

    Raises:
        OSError: no answer, or an error status (urllib.error.HTTPError).
    """
    with clean_environment():
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else {}),
            urllib.request.HTTPSHandler(context=make_tls_context()),
        )
    request = urllib.request.Request(url, data, dict(headers or {}), method=method)  # noqa: S310
    return opener.open(request, timeout=timeout)
