"""What the platform takes from elsewhere: git repositories and container images, over HTTPS.

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

# Only world itself puts something in: nobody can push through the front.
REGISTRY = f"""
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {IMAGES}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:5000"}}
"""


def configuration(cert: Path, key: Path) -> str:
    """nginx: one address, two names."""
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
    # A client packs a large request; git's own program reads it.
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


def watch(*argv: str) -> None:
    """A helper; when it ends, so does the service, and systemd starts both anew."""
    child = subprocess.Popen(argv)
    threading.Thread(target=lambda: os._exit(child.wait() or 1), daemon=True).start()


def main() -> None:
    """Registry and git behind one nginx."""
    kit.take_address(ADDRESS)
    for folder in (REPOSITORIES, IMAGES):
        folder.mkdir(parents=True, exist_ok=True)
    registry, nginx = kit.STATE / "registry.yml", kit.STATE / "forge.conf"
    registry.write_text(REGISTRY)
    nginx.write_text(configuration(*kit.certificate("git.vln.test", "registry.vln.test")))
    Path(SOCKET).unlink(missing_ok=True)
    watch("docker-registry", "serve", str(registry))
    watch("fcgiwrap", "-f", "-c", "4", "-s", f"unix:{SOCKET}")
    raise SystemExit(subprocess.run(["nginx", "-c", str(nginx)], check=False).returncode)


if __name__ == "__main__":
    main()
