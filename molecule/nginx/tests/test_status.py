"""The status of a host on which nginx hangs, a file was edited and a run was killed; it changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests import machines
from tests.scenario import Role

PLAYBOOK = machines.ROOT / "playbooks/status.yml"
SITE = "/etc/nginx/sites-enabled/docs.conf"
STAGED = "/etc/nginx/.nginx.conf.vise-new"
FILES = f"{SITE} /var/lib/vise/components/nginx/manifest.json"


@pytest.fixture
def disturbed(host: Host) -> Iterator[None]:
    """Let nginx hang, edit a file, and leave a staged file; undo all that at the end."""
    host.check_output(f"cp -a {SITE} /root/saved && echo '# manual' >> {SITE} && touch {STAGED}")
    host.check_output("pkill -STOP -x nginx")
    yield
    host.check_output(f"pkill -CONT -x nginx; cp -a /root/saved {SITE}; rm -f {STAGED} /root/saved")


@pytest.mark.usefixtures("disturbed")
def test_status_reports_what_hangs_differs_and_is_left(role: Role, host: Host) -> None:
    before = host.check_output(f"sha256sum {FILES}")
    file = role.scratch / "status.json"
    run = role.play(PLAYBOOK, "--extra-vars", f"status_file={file}")
    assert run.code == 2, run.tail
    [status] = json.loads(file.read_text())["hosts"].values()
    [nginx] = [row for row in status["services"] if row["name"] == "nginx"]
    assert nginx["state"] == "no answer"
    assert nginx["version"]
    found = {(one["service"], one["text"]) for one in status["findings"]}
    assert [
        text for service, text in found if service == "nginx" and "no certificate at" in text and "timed out" in text
    ]
    assert [text for service, text in found if service == "host" and text.startswith(f"{STAGED}: a staged file")]
    assert host.check_output(f"sha256sum {FILES}") == before


def test_status_of_a_running_service_has_its_certificate(role: Role) -> None:
    file = role.scratch / "status.json"
    run = role.play(PLAYBOOK, "--extra-vars", f"status_file={file}", "--extra-vars", "status_differences=false")
    assert "changed=0" in run.output, run.tail
    [status] = json.loads(file.read_text())["hosts"].values()
    [nginx] = [row for row in status["services"] if row["name"] == "nginx"]
    assert nginx["state"] == "running"
    assert nginx["certificate_days"] > 0
