"""The configuration that the role writes."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import settings

from tools import collection, templates

ROLE = collection.ROOT / "roles/mailcow"
CASES = templates.load_cases(ROLE, collection.ROOT)


def conf(case: str) -> dict[str, str]:
    return settings.parse_conf(dict(templates.render_templates(ROLE, CASES[case]))["mailcow.conf.j2"])


def test_only_mail_is_public() -> None:
    values = conf("defaults")
    public = {value for name, value in values.items() if name.endswith("_PORT") and "." not in value}
    assert public == {"25", "465", "587", "993", "4190", "8080", "8444"}
    assert (values["HTTP_BIND"], values["HTTPS_BIND"], values["HTTP_REDIRECT"]) == ("127.0.0.1", "127.0.0.1", "n")


@pytest.mark.parametrize(("case", "skipped"), [("defaults", ("y", "y")), ("every_setting", ("n", "n"))])
def test_memory_decides_what_runs(case: str, skipped: tuple[str, str]) -> None:
    values = conf(case)
    assert (values["SKIP_CLAMD"], values["SKIP_FTS"]) == skipped


def test_settings_override_and_the_host_can_use_the_api() -> None:
    values = conf("every_setting")
    assert (values["SKIP_SOGO"], values["SNAT_TO_SOURCE"], values["ENABLE_IPV6"]) == ("y", "192.0.2.1", "false")
    assert values["API_ALLOW_FROM"] == "127.0.0.1,172.22.1.1,192.0.2.0/24"
    assert values["WATCHDOG_NOTIFY_EMAIL"] == "ops@example.net,more@example.net"


def test_images_are_used_by_digest() -> None:
    text = dict(templates.render_templates(ROLE, CASES["every_setting"]))["docker-compose.override.yml.j2"]
    services = yaml.safe_load(text)["services"]
    assert services["dovecot-mailcow"] == {"image": CASES["every_setting"]["mailcow_images"]["dovecot-mailcow"]}
    assert services["postfix-mailcow"] == {"security_opt": ["no-new-privileges:false"]}
