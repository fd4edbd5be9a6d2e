# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Update the address ranges of Cloudflare that nginx trusts; run by nginx-cloudflare-ranges.timer or by hand."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import os
import sys
import time
import typing as t

from ..host import clients, files, programs

SETTINGS = "/etc/vise/cloudflare-ranges.json"
USAGE = """usage: vise-cloudflare-ranges seed      use the ranges of the configuration, unless newer ones are in use
       vise-cloudflare-ranges refresh   download the ranges and activate them in nginx
On any error the ranges in use do not change."""
LIMIT = 65536  # bytes; the real lists have 300
# Networks with shorter prefixes would make nginx trust a large part of the internet.
WIDEST = {4: 8, 6: 16}
# Seconds until the workers of a reload answer.
PATIENCE = 15


class RangesError(Exception):
    """The ranges cannot be updated; the message is for the operator."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the role has written for this program."""

    urls: tuple[str, ...]
    status_socket: str  # nginx answers here with the digest of the ranges that it has loaded
    directory: str = "/etc/nginx/cloudflare"

    @classmethod
    def load(cls, path: str = SETTINGS) -> Settings:
        """Read the settings; raises RangesError when the role has not written them."""
        data = files.read_json(path)
        if data is None:
            raise RangesError(f"{path} does not exist: run the role nginx on this host")
        return cls(tuple(data["urls"]), data["status_socket"])

    @property
    def shipped(self) -> str:
        """The ranges that are part of the configuration."""
        return os.path.join(self.directory, "shipped.txt")

    @property
    def used(self) -> str:
        """The file that nginx includes."""
        return os.path.join(self.directory, "ranges.conf")

    @property
    def loaded(self) -> str:
        """The file that nginx has loaded, while `used` may differ; it makes the next run complete a killed one."""
        return os.path.join(self.directory, "ranges.loaded")


def parse_ranges(text: str) -> list[str]:
    """Return the ranges of a text with one range per line; raises ValueError for any other line."""
    lines = [line.strip() for line in text.splitlines()]
    ranges = [ipaddress.ip_network(line) for line in lines if line and not line.startswith("#")]
    wide = [str(network) for network in ranges if network.prefixlen < WIDEST[network.version]]
    if wide:
        raise ValueError(f"{', '.join(wide)} is too large for a range of Cloudflare")
    if not ranges:
        raise ValueError("the list is empty")
    return [str(network) for network in ranges]


def render_ranges(ranges: t.Sequence[str]) -> str:
    """Return the configuration that nginx includes, with a digest by which nginx can prove that it has loaded it."""
    trusted = "".join(f"set_real_ip_from {network};\n" for network in ranges)
    members = "".join(f"    {network} 1;\n" for network in ranges)
    digest = f'map $host $cloudflare_ranges_digest {{\n    default "{compute_digest(ranges)}";\n}}\n'
    return f"{trusted}geo $realip_remote_addr $from_cloudflare {{\n    default 0;\n{members}}}\n{digest}"


def compute_digest(ranges: t.Sequence[str]) -> str:
    """Return 12 hexadecimal digits that depend on the ranges."""
    return hashlib.sha256("\n".join(ranges).encode()).hexdigest()[:12]


def download(url: str) -> str:
    """Return the content of a URL."""
    with clients.open_url(url, timeout=30) as answer:
        return str(answer.read(LIMIT).decode())


def read_live_digest(settings: Settings) -> str:
    """Return the digest of the ranges that nginx has loaded; empty when nginx does not answer."""
    argv = ["curl", "-qfsS", "-m", "5", "--unix-socket", settings.status_socket, "http://nginx/cloudflare-ranges"]
    return programs.run(argv).out.strip()


def seed(settings: Settings) -> None:
    """Use the shipped ranges if they are newer than the ranges in use."""
    # Without the digest, for example after a change by hand, nginx does not accept the file.
    complete = "$cloudflare_ranges_digest" in files.read_text(settings.used)
    if not complete or os.stat(settings.used).st_mtime < os.stat(settings.shipped).st_mtime:
        ranges = parse_ranges(files.read_text(settings.shipped))
        files.replace_file(settings.used, render_ranges(ranges), mode=0o644)


def refresh(settings: Settings) -> None:
    """Download, validate and activate the ranges; the previous file returns when nginx rejects the new one.

    Raises:
        OSError, ValueError: a list cannot be downloaded, or is not a list of ranges.
        RangesError, ProgramError: nginx rejects the ranges or does not load them.
    """
    # Each list by itself: the other one must not hide an empty one.
    ranges = [network for url in settings.urls for network in parse_ranges(download(url))]
    before, after = files.read_text(settings.used), render_ranges(ranges)
    if before == after and not os.path.exists(settings.loaded):
        return
    if not os.path.exists(settings.loaded):
        files.replace_file(settings.loaded, before, mode=0o644)
    files.replace_file(settings.used, after, mode=0o644)
    try:
        programs.call(["nginx", "-t", "-q"])
    except BaseException:
        os.replace(settings.loaded, settings.used)
        raise
    programs.call(["systemctl", "reload", "nginx.service"])
    _wait_until_live(settings, compute_digest(ranges))
    files.remove_file(settings.loaded)


def _wait_until_live(settings: Settings, digest: str) -> None:
    # A reload ends with success before nginx has loaded anything.
    end = time.monotonic() + PATIENCE
    while read_live_digest(settings) != digest:
        if time.monotonic() > end:
            raise RangesError(f"nginx did not load the new ranges in {PATIENCE} s: see /var/log/nginx/error.log")
        time.sleep(0.1)


def main(arguments: t.Sequence[str]) -> int:
    """Run one of the two commands."""
    command = {"seed": seed, "refresh": refresh}.get(" ".join(arguments))
    if command is None:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        command(Settings.load())
    except (OSError, ValueError, RangesError, programs.ProgramError) as error:
        print(f"vise-cloudflare-ranges: {error}", file=sys.stderr)
        return 1
    return 0
