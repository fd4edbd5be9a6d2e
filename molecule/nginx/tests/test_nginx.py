"""Sites as visitors see them; a configuration that cannot work is refused, and the sites stay up."""

from __future__ import annotations

import re
import shlex
import subprocess
from typing import Any

import pytest
from testinfra.host import Host

from tests import machines
from tests.scenario import ADDRESS, ADDRESS6, Role

SUMMARY = "\\ncode=%{http_code} version=%{http_version} exit=%{exitcode}\\n"
LONG_DOMAIN = ".".join(["a" * 60] * 3 + ["b" * 61, "vln.test"])
# The answer must contain a pattern, up to the summary that curl adds. curl does not judge HTTP/3 correctly.
QUESTIONS = [
    pytest.param(
        "curl", "http://docs.vln.test/a?b=c", "Location: https://docs.vln.test/a.b=c.*code=301", id="HTTP is redirected"
    ),
    pytest.param(
        "curl",
        "http://docs.vln.test/.well-known/acme-challenge/try",
        "token.*code=200",
        id="the ACME challenge is served",
    ),
    pytest.param(
        "curl",
        "http://new.vln.test/.well-known/acme-challenge/try",
        "code=200",
        id="the ACME challenge of a name without a site is served",
    ),
    pytest.param("curl", "http://new.vln.test/", "code=000 version=0 exit=5[26]", id="an unknown name is disconnected"),
    pytest.param("curl", "https://new.vln.test/", "code=000 version=0 exit=35", id="an unknown name gets no handshake"),
    pytest.param("curl", "-H Host:new.vln.test https://docs.vln.test/", "code=000", id="a forged Host is disconnected"),
    pytest.param("curl", "--http1.1 https://docs.vln.test/", "the index.*code=200 version=1.1", id="HTTP/1.1"),
    pytest.param("curl", "--http2 https://docs.vln.test/", "the index.*code=200 version=2 ", id="HTTP/2"),
    pytest.param("h3", "https://docs.vln.test/", "the index.*code=200 version=3 ", id="HTTP/3"),
    pytest.param("curl", "https://docs.vln.test/", "alt-svc: h3=.:443", id="HTTP/3 is announced"),
    pytest.param("curl", "https://docs.vln.test/", "strict-transport-security: max-age=63072000", id="HSTS"),
    pytest.param(
        "curl",
        "https://docs.vln.test/",
        "content-security-policy: default-src 'self'; style-src",
        id="the site's own policy replaces the default",
    ),
    pytest.param(
        "curl",
        "https://docs.vln.test/gone.html",
        "x-content-type-options: nosniff.*nothing here.*code=404",
        id="error pages have the headers too",
    ),
    pytest.param("curl", "https://docs.vln.test/", "server: nginx\r?\n", id="no version is shown"),
    pytest.param("curl", "--tls-max 1.2 https://docs.vln.test/", "code=000 version=0 exit=35", id="TLS 1.2 is refused"),
    pytest.param(
        "curl",
        "--tls-max 1.2 https://old.vln.test:9443/",
        "code=200",
        id="TLS 1.2 is accepted where the site allows it",
    ),
    pytest.param(
        "curl",
        "--tls-max 1.2 https://strict.vln.test:9443/",
        "code=000",
        id="another site on that port refuses TLS 1.2",
    ),
    pytest.param("curl", "https://strict.vln.test:9443/", "code=200", id="another site on that port accepts TLS 1.3"),
    pytest.param(
        "curl", "https://docs.vln.test/page", "cache-control: no-cache.*a page.*code=200", id="pages are revalidated"
    ),
    pytest.param(
        "curl",
        "https://docs.vln.test/assets/app.2222.js",
        "cache-control: public, max-age=31536000, immutable.*new code",
        id="hashed files are cached",
    ),
    pytest.param(
        "curl",
        "https://docs.vln.test/assets/app.1111.js",
        "immutable.*old code.*code=200",
        id="hashed files of the previous release stay",
    ),
    pytest.param(
        "curl",
        "-o /dev/null -D - -H Accept-Encoding:gzip https://docs.vln.test/page.html",
        "content-encoding: gzip",
        id="a compressed file is sent compressed",
    ),
    pytest.param(
        "curl",
        "https://www.vln.test/a",
        "location: https://docs.vln.test/a\r?\n.*code=301",
        id="a redirect keeps the path",
    ),
    pytest.param(
        "curl", "https://later.vln.test/", "code=404", id="a root that is not there yet is only a missing page"
    ),
    pytest.param("curl", "--http1.1 -N wss://edu.vln.test/", "hello sockets.*code=101", id="WebSocket"),
    pytest.param(
        "curl",
        "https://edu.vln.test/",
        '"host": "edu.vln.test".*"x-forwarded-proto": "https"',
        id="the application receives its own name",
    ),
    pytest.param(
        "h3",
        "https://edu.vln.test/",
        '"host": "edu.vln.test".*code=200 version=3',
        id="the application receives its own name over HTTP/3",
    ),
    pytest.param(
        "curl",
        "--path-as-is https://edu.vln.test/a%2Fb//c?d=%26",
        r'"path": "/a%2Fb//c\?d=%26"',
        id="a path is not decoded",
    ),
    pytest.param("curl", "https://edu.vln.test/{cookie}", '"path": "/x{20000}"', id="a long path passes"),
    pytest.param("curl", "-m 2 https://edu.vln.test/events", "first event.*exit=28", id="an event is sent at once"),
    pytest.param(
        "curl", "-m 2 https://queue.vln.test/events", "first event.*exit=28", id="an event passes the edge at once"
    ),
    pytest.param("curl", "-d {cookie} https://edu.vln.test/form", "code=501", id="a form is sent to the application"),
    pytest.param(
        "curl", "https://edu.vln.test/", r"\A(?!.*SAMEORIGIN).*x-frame-options: DENY", id="a header is sent once"
    ),
    pytest.param(
        "curl",
        "https://edu.vln.test/",
        r"\A(?!.*content-security-policy)",
        id="no policy is set where the application sets it",
    ),
    pytest.param(
        "curl",
        "-H CF-Connecting-IP:198.51.100.7 https://edu.vln.test/",
        r"\A(?!.*198.51.100.7)",
        id="a stranger's address header is ignored",
    ),
    pytest.param(
        "curl",
        "-o /dev/null --http1.1 https://edu.vln.test/api/[1-9]",
        "code=200.*code=429",
        id="requests beyond the limit get 429",
    ),
    pytest.param(
        "curl",
        "-o /dev/null --http1.1 https://edu.vln.test/other/[1-9]",
        r"\A(?!.*code=429)",
        id="other paths are not limited",
    ),
    pytest.param("curl", "https://edu.vln.test/admin", "code=403", id="a path of administrators is refused"),
    pytest.param(
        "curl",
        "--path-as-is https://edu.vln.test/x/..//%61dmin/x",
        "code=403",
        id="a path of administrators is refused in each spelling",
    ),
    pytest.param(
        "curl",
        "https://edu.vln.test/robots.txt",
        "content-type: text/plain.*agent: [*]\nDisallow: /admin\n.*code=200",
        id="a text is served by nginx itself",
    ),
    pytest.param(
        "curl", "https://edge.vln.test/page.html", "a page.*code=200", id="a site on another host is reached over TLS"
    ),
    pytest.param(
        "curl", "https://wrong.vln.test/", "code=502", id="an upstream with another name in its certificate is refused"
    ),
    pytest.param("curl", "https://locked.vln.test/", "code=403", id="a stranger is locked out"),
    pytest.param(
        "curl", "https://plain.vln.test/gone.html", "nothing here.*code=404", id="a previous release without patterns"
    ),
    pytest.param(
        "curl", "https://spa.vln.test/any/page", "the application.*code=200", id="an application answers every path"
    ),
    pytest.param(
        "curl",
        "https://spa.vln.test/assets/app.1111.js",
        "immutable.*old code.*code=200",
        id="an application's old file is served",
    ),
    pytest.param(
        "curl",
        "https://spa.vln.test/assets/app.3333.js",
        r"\A(?!.*(immutable|the application)).*code=404",
        id="an application's missing file is no page",
    ),
    pytest.param(
        "curl", "https://xn--bcher-kva.vln.test/", "the index.*code=200", id="an international domain is served"
    ),
    pytest.param("curl", "https://{long}/", "the index.*code=200", id="a domain with 253 characters is served"),
    pytest.param(
        "curl",
        "https://edge.vln.test/guide",
        r"location: /guide/\r?\n.*code=301",
        id="a redirect names no internal port",
    ),
    pytest.param("curl", "-L https://edge.vln.test/guide", "the guide.*code=200", id="that redirect can be followed"),
    pytest.param(
        "curl",
        "https://docs.vln.test/.well-known/security.txt",
        "for everyone.*code=200",
        id="well-known files are served",
    ),
    *(
        pytest.param("curl", f"https://docs.vln.test/{path}", r"\A(?!.*secret).*code=404", id=f"{path} is not served")
        for path in (
            ".env",
            ".git/config",
            "%2eenv",
            "assets/../.env",
            ".well-known/.env",
            "page.html~",
            "page.html.bak",
        )
    ),
    pytest.param(
        "curl",
        "-H Cookie:a={cookie} https://edu.vln.test/cookies",
        "set-cookie: a=x{20000}.*20002 bytes.*code=200",
        id="large cookies pass in both directions",
    ),
    pytest.param(
        "curl",
        "https://edu.vln.test/_next/a.js https://edu.vln.test/_next/a.js",
        "cache-control: public, max-age=31536000, immutable.*answer 1.*answer 1",
        id="an immutable file of an upstream is cached",
    ),
    pytest.param(
        "curl",
        "https://edu.vln.test/_next/private.js https://edu.vln.test/_next/private.js",
        r"\A(?!.*immutable).*cache-control: no-store.*answer (\d+).*answer (?!\1)\d",
        id="an upstream's own rule decides",
    ),
    pytest.param("curl", "https://pulled.vln.test/", "code=400", id="a stranger without a certificate is locked out"),
]
# The marker that answers is that of the first configuration, in memory and on disk.
UNCHANGED = """
curl -fsSk -o /dev/null --resolve docs.vln.test:443:127.0.0.1 https://docs.vln.test/
test ! -e /etc/nginx/sites-enabled/fault.conf
curl -fsS --unix-socket /run/nginx-status.sock http://nginx/generation | grep -F -f - /etc/nginx/nginx.conf
"""
# Changes of an administrator in a hurry; then the kernel kills nginx because memory ends.
DRIFT = """
echo '# by hand' >>/etc/nginx/nginx.conf
echo 'server { listen 7080; return 200; }' >/etc/nginx/sites-enabled/mine.conf
rm /etc/nginx/sites-enabled/docs.conf /etc/nginx/cloudflare/ranges.conf
sed -i '/ranges.conf/d; /ranges_digest/d; /limit_req_zone/d' /etc/nginx/nginx.conf
rm /etc/nginx/sites-enabled/locked.conf /etc/nginx/sites-enabled/edu.conf
systemctl reload nginx
kill -9 "$(cat /run/nginx.pid)"
"""
LOG = """
import json
lines = [json.loads(line) for line in open("/var/log/nginx/access.log")]
last = [line for line in lines if line["host"] == "edu.vln.test" and line["status"] == 200][-1]
assert isinstance(last["request_time"], float) and float(last["upstream_response_time"]) >= 0, last
assert last["client"] == "198.51.100.7" and last["peer"] == "172.30.0.1", last
"""


def ask(world: Host, program: str, arguments: str, address: str = ADDRESS) -> str:
    """Return the answer to a visitor who knows only the site's name."""
    if program == "h3":
        return machines.output(world, f"h3 -k --timeout 8 --to {address} {arguments}")
    target = f"[{address}]" if ":" in address else address
    words = shlex.split(arguments.replace("{long}", LONG_DOMAIN).replace("{cookie}", "x" * 20000))
    command = f"curl -sSki -m 8 --connect-to ::{target}: -w " + " ".join(["%s"] * (len(words) + 1))
    return machines.output(world, command, SUMMARY, *words)


def answers(world: Host, program: str, arguments: str, pattern: str) -> bool:
    """Return whether a visitor soon gets an answer; a connection that the previous workers accepted is still theirs."""
    return machines.eventually(lambda: bool(re.search(f"(?s){pattern}", ask(world, program, arguments))))


def ask_from_here(*arguments: str) -> str:
    """Return the answer to the machine of the tests, whose address is in Cloudflare's ranges at first."""
    argv = ["curl", "-sSk", "--connect-to", f"::{ADDRESS}:", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(("program", "arguments", "pattern"), QUESTIONS)
def test_visitor_gets(world: Host, program: str, arguments: str, pattern: str) -> None:
    answer = ask(world, program, arguments)
    assert re.search(f"(?s){pattern}", answer), answer


def test_site_is_served_over_http3_and_ipv6(world: Host) -> None:
    assert "code=200 version=3 " in ask(world, "h3", "https://docs.vln.test/", ADDRESS6)


@pytest.mark.parametrize("url", ["locked.vln.test/", "edu.vln.test/", "edu.vln.test/admin"])
def test_cloudflare_is_admitted_and_its_header_is_the_visitor(url: str) -> None:
    answer = ask_from_here("-H", "CF-Connecting-IP: 198.51.100.7", f"https://{url}")
    assert re.search("the index|x-real-ip.{4}198.51.100.7", answer), answer


def test_origin_pull_certificate_is_admitted(host: Host) -> None:
    # From the host, which has the key.
    certificate = "--cert /srv/tls/client.pem --key /srv/tls/client.key"
    host.check_output(f"curl -fsSk --resolve pulled.vln.test:443:127.0.0.1 {certificate} https://pulled.vln.test/")


def test_log_is_json_with_the_visitors_address(host: Host) -> None:
    ask_from_here("-H", "CF-Connecting-IP: 198.51.100.7", "https://edu.vln.test/")
    host.check_output("python3 -c %s", LOG)


def test_configuration_that_cannot_work_is_refused_and_the_site_stays_up(role: Role, host: Host) -> None:
    faults: list[tuple[dict[str, Any], str]] = [
        ({"static": {"immutable": ["("]}}, "nothing was changed(?s:.*)pcre2_compile"),
        (
            {"tls": {"certificate": "/srv/tls/none.pem", "key": "/srv/tls/none.key"}},
            "nothing was changed(?s:.*)/srv/tls/none.pem",
        ),
        (
            {"listen": {"port": 3000, "address": "127.0.0.1"}},
            "Address already in use(?s:.*)Rolled back to the previous configuration, which is live",
        ),
        ({"domains": ["docs.vln.test"]}, "docs.vln.test belongs to both docs and fault"),
        ({"rooot": "/srv"}, "rooot"),
        ({"http3": "perhaps"}, "http3"),
    ]
    # After each one, the host is as before.
    for fault, message in faults:
        role.assert_refused([({"nginx_sites": "{{ sites + [fault_site | combine(" + repr(fault) + ")] }}"}, message)])
        machines.script(host, UNCHANGED)


def change_site(name: str, change: dict[str, Any]) -> str:
    """Return the sites of the scenario, one of them with other options."""
    others = f"sites | rejectattr('name', 'equalto', '{name}')"
    return "{{ " + f"{others} + [sites | selectattr('name', 'equalto', '{name}') | first | combine({change!r})]" + " }}"


CLOSED: dict[str, Any] = {"restricted": {"paths": ["^/"], "allow": ["10.0.0.0/8"]}}


def test_change_that_closes_a_site_to_visitors_is_rolled_back(role: Role, host: Host, world: Host) -> None:
    # nginx accepts the files, and the host itself reaches each site by TLS.
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("plain", CLOSED, r"plain\.vln\.test at port 443 \(before: status 200, now: status 403\)"),
        (
            "strict",
            {"listen": {"port": 9443, "address": "127.0.0.1"}},
            r"strict\.vln\.test at port 9443 \(before: status 200, now: TLS without HTTP",
        ),
        (
            "queue",
            {"upstream": {"servers": ["127.0.0.1:9"]}},
            r"queue\.vln\.test at port 443 \(before: status 200, now: status 502\)",
        ),
    ]
    outcome = "(?s:.*)Rolled back to the previous configuration, which is live"
    role.assert_refused([({"nginx_sites": change_site(name, change)}, lost + outcome) for name, change, lost in cases])
    for address in ("plain.vln.test", "strict.vln.test:9443", "queue.vln.test"):
        assert answers(world, "curl", f"https://{address}/", "code=200")
    machines.script(host, UNCHANGED)
    assert not host.file("/var/lib/vise/components/nginx/pending.json").exists


def test_site_that_the_description_closes_is_closed_and_one_that_never_answered_is_reported(
    role: Role, world: Host
) -> None:
    inside = {"listen": {"port": 9555, "address": "127.0.0.1"}}
    others = change_site("plain", CLOSED).removesuffix(" }}")
    run = role.apply(
        nginx_sites=f"{others} + [fault_site | combine({inside!r})] }}}}", nginx_unreachable_sites=["plain"]
    )
    assert "nginx: this controller did not reach https://fault.vln.test at port 9555 before" in run.output
    assert answers(world, "curl", "https://plain.vln.test/", "code=403")
    role.apply()


# As an administrator forwards other ports.
FOREIGN = """
printf '%s\\n' 'load_module modules/ngx_stream_module.so;' 'stream {' '    server {' \\
  '        listen 8443 udp reuseport;' \\
  '        proxy_pass 127.0.0.1:9;' '    }' '}' >/etc/nginx/modules-enabled/99-own.conf
"""


def test_foreign_file_that_takes_visitors_is_refused_with_its_line(role: Role, host: Host) -> None:
    if not host.file("/usr/lib/nginx/modules/ngx_stream_module.so").exists:
        host.check_output("apt-get -qq install -y --no-install-recommends libnginx-mod-stream >/dev/null")
        host.check_output("rm /etc/nginx/modules-enabled/*-mod-stream.conf")
    machines.script(host, FOREIGN)
    try:
        # The role changes nothing else, and still does not report success.
        role.assert_refused([({}, "modules-enabled/99-own.conf:4: .{1,3}listen 8443 udp")])
        # At another port it stays, and is named in each run, as a file that nginx does not read.
        host.check_output("sed -i s/8443/8999/ /etc/nginx/modules-enabled/99-own.conf")
        host.check_output("echo 'server { listen 7081; }' >/etc/nginx/conf.d/old.conf")
        run = role.apply()
        assert "modules-enabled/99-own.conf: this file of others is in use" in run.output
        assert "conf.d/old.conf: nginx does not read this file" in run.output
    finally:
        host.check_output("rm -f /etc/nginx/modules-enabled/99-own.conf /etc/nginx/conf.d/old.conf")
    assert "old.conf" not in role.apply().output


def test_reload_fails_unless_nginx_has_loaded_the_files(host: Host) -> None:
    # The address is in use, which nginx finds only after the check of the files.
    host.check_output("echo 'server { listen 127.0.0.1:3000; }' >/etc/nginx/sites-enabled/busy.conf")
    try:
        assert host.run("systemctl reload nginx").rc != 0
        assert "Address already in use" in host.check_output("journalctl -o cat -u nginx -n 20")
    finally:
        host.check_output("rm /etc/nginx/sites-enabled/busy.conf")
    host.check_output("systemctl reload nginx")


def test_certificate_that_nginx_did_not_load_is_loaded_by_the_next_run(role: Role, host: Host) -> None:
    served = "openssl s_client -connect 127.0.0.1:443 -servername docs.vln.test </dev/null 2>/dev/null"
    fingerprint = "openssl x509 -noout -fingerprint"
    # With another certificate for the same key, as after a renewal whose reload was lost.
    host.check_output("cp /srv/tls/server.pem /srv/tls/before.pem && cp /srv/tls/renewed.pem /srv/tls/server.pem")
    renewed = host.check_output(f"{fingerprint} -in /srv/tls/renewed.pem")
    assert host.check_output(f"{served} | {fingerprint}") != renewed
    role.apply()
    assert machines.eventually(lambda: host.check_output(f"{served} | {fingerprint}") == renewed)


def test_nginx_starts_as_soon_as_the_name_of_an_upstream_resolves(role: Role, host: Host, world: Host) -> None:
    host.check_output("echo 127.0.0.1 late.internal >>/etc/hosts")
    site = {"name": "late", "domains": ["late.vln.test"], "upstream": {"servers": ["late.internal:3000"]}}
    role.apply(nginx_sites="{{ sites + [fault_site | combine(" + repr({**site, "root": ""}) + ")] }}")
    restarts = "systemctl show -P NRestarts nginx"
    host.check_output("sed '/late.internal/d' /etc/hosts >/srv/hosts && cat /srv/hosts >/etc/hosts")
    assert host.run("systemctl restart nginx").rc != 0
    # systemd gives up after five attempts in ten seconds, unless the unit forbids it.
    assert machines.eventually(lambda: int(host.check_output(restarts)) > 6, seconds=30)
    host.check_output("echo 127.0.0.1 late.internal >>/etc/hosts")
    assert answers(world, "curl", "https://late.vln.test/", '"host": "late.vln.test".*code=200')
    role.apply()


def test_drift_is_corrected_and_a_killed_nginx_returns(role: Role, host: Host, world: Host) -> None:
    machines.script(host, DRIFT)
    assert machines.eventually(lambda: host.socket("tcp://0.0.0.0:7080").is_listening)
    kept = re.search(r"sites-enabled/mine.conf was written by others .*its copy is\s+(\S+)", role.apply().output)
    assert kept
    assert "7080" in host.file(kept[1]).content_string
    assert answers(world, "h3", "https://docs.vln.test/", "the index.*code=200")
    assert machines.eventually(lambda: not host.socket("tcp://0.0.0.0:7080").is_listening)


def test_stopped_nginx_is_started(role: Role, host: Host, world: Host) -> None:
    host.check_output("systemctl stop nginx")
    role.apply()
    assert answers(world, "curl", "https://docs.vln.test/", "code=200")


def test_check_mode_writes_nothing_next_to_the_configuration(role: Role, host: Host) -> None:
    host.check_output("echo '# by hand' >>/etc/nginx/sites-enabled/docs.conf; rm /etc/nginx/cloudflare/ranges.conf")
    role.apply("--check")
    assert not host.file("/etc/nginx/cloudflare/ranges.conf").exists
    role.apply()


def test_renewed_ranges_decide_and_an_invalid_list_changes_nothing(role: Role, host: Host, world: Host) -> None:
    # World becomes Cloudflare, and the machine of the tests a stranger.
    source = world.check_output("hostname -I").split()[0]
    host.check_output(f"echo {source}/32 >/srv/ranges/v4 && systemctl start nginx-cloudflare-ranges")
    assert answers(world, "curl", "https://locked.vln.test/", "the index.*code=200")
    stranger = ("-o", "/dev/null", "-w", "%{http_code}", "https://locked.vln.test/")
    assert machines.eventually(lambda: ask_from_here(*stranger) == "403")
    before = host.file("/etc/nginx/cloudflare/ranges.conf").sha256sum
    for fault in (
        "echo 0.0.0.0/0 >/srv/ranges/v4",
        "echo '<html>busy</html>' >/srv/ranges/v4",
        "true >/srv/ranges/v4",
        "rm /srv/ranges/v4",
    ):
        host.check_output(fault)
        assert host.run("systemctl start nginx-cloudflare-ranges").rc != 0, fault
        assert host.file("/etc/nginx/cloudflare/ranges.conf").sha256sum == before
        host.check_output("nginx -t")
    role.apply()
    assert answers(world, "curl", "https://locked.vln.test/", "code=200")
    # The machine of the tests is Cloudflare again.
    host.check_output("echo 203.0.113.0/24 >/srv/ranges/v4; rm /etc/nginx/cloudflare/ranges.conf")
    host.check_output("vise-cloudflare-ranges seed && systemctl reload nginx")
