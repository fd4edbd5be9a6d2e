"""Git repositories and container images that the platform downloads, over HTTPS.

packages: docker-registry fcgiwrap git nginx-light skopeo
names: git.vln.test registry.vln.test
address: 8
ports: 443
ready: curl -fsS -o /dev/null https://registry.vln.test/v2/
ready: curl -4sS -o /dev/null https://git.vln.test/ && curl -6sS -o /dev/null https://git.vln.test/
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import kit

ADDRESS = "8"
REPOSITORIES = kit.STATE / "git"
IMAGES = kit.STATE / "registry"
SOCKET = "/run/forge.sock"

# Only world itself can push: nginx allows only GET and HEAD for the registry.
REGISTRY = f"""
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {IMAGES}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:5000"}}
"""


def render_nginx(cert: Path, key: Path) -> str:
    """Return nginx's configuration: two servers on one address."""
    listen = f"listen 172.30.0.{ADDRESS}:443 ssl; listen [fd30::{ADDRESS}]:443 ssl;"
    return f"""
daemon off;
user root;
worker_processes 1;
pid /run/forge.pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off;
  ssl_certificate {cert};
  ssl_certificate_key {key};
  server {{
    {listen}
    server_name registry.vln.test;
    location / {{
      limit_except GET {{ deny all; }}
      proxy_pass http://127.0.0.1:5000;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-Proto https;
      proxy_buffering off;
    }}
  }}
  server {{
    {listen}
    server_name git.vln.test;
    # Git clients compress large requests; git-http-backend decompresses them.
    client_max_body_size 8m;
    location ~ ^/[a-z0-9-]+(\\.git)?/ {{
      rewrite ^/([a-z0-9-]+)\\.git/(.*)$ /$1/$2 break;
      fastcgi_pass unix:{SOCKET};
      fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
      fastcgi_param GIT_PROJECT_ROOT {REPOSITORIES};
      fastcgi_param GIT_HTTP_EXPORT_ALL 1;
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
      fastcgi_param PATH_INFO $uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
      fastcgi_param REMOTE_ADDR $remote_addr;
    }}
  }}
}}
"""


def start_helper(*argv: str) -> None:
    """Start a helper process; when it ends, the service ends too, and systemd restarts both."""
    child = subprocess.Popen(argv)
    threading.Thread(target=lambda: os._exit(child.wait() or 1), daemon=True).start()


def main() -> None:
    """Run the registry and git's HTTP backend behind nginx."""
    kit.take_address(ADDRESS)
    for folder in (REPOSITORIES, IMAGES):
        folder.mkdir(parents=True, exist_ok=True)
    registry, nginx = kit.STATE / "registry.yml", kit.STATE / "forge.conf"
    registry.write_text(REGISTRY)
    nginx.write_text(render_nginx(*kit.issue_certificate("git.vln.test", "registry.vln.test")))
    Path(SOCKET).unlink(missing_ok=True)
    start_helper("docker-registry", "serve", str(registry))
    start_helper("fcgiwrap", "-f", "-c", "4", "-s", f"unix:{SOCKET}")
    raise SystemExit(subprocess.run(["nginx", "-c", str(nginx)], check=False).returncode)


if __name__ == "__main__":
    main()
