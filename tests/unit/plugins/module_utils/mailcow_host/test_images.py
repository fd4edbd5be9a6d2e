"""The images of the running mailcow, by digest."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.vise.platform.plugins.module_utils.host import programs
from ansible_collections.vise.platform.plugins.module_utils.mailcow_host import images, settings, stack

from tools import collection

ROLE = collection.ROOT / "roles/mailcow"
ONE, TWO = (f"sha256:{sign * 64}" for sign in "12")


@pytest.mark.parametrize(
    ("image", "known", "expected"),
    [
        ("ghcr.io/mailcow/sogo:5.12", [f"ghcr.io/mailcow/sogo@{ONE}"], f"ghcr.io/mailcow/sogo:5.12@{ONE}"),
        ("mariadb:10.11", [f"mariadb@{ONE}"], f"mariadb:10.11@{ONE}"),
        ("docker.io/library/mariadb:10.11", [f"mariadb@{ONE}"], f"docker.io/library/mariadb:10.11@{ONE}"),
        ("docker.io/mcuadros/ofelia", [f"mcuadros/ofelia@{ONE}"], f"docker.io/mcuadros/ofelia@{ONE}"),
        # A port is not a tag, and a digest from another registry does not count
        ("a.test:5000/sogo", [f"b.test:5000/sogo@{ONE}", f"a.test:5000/sogo@{TWO}"], f"a.test:5000/sogo@{TWO}"),
        (f"ghcr.io/mailcow/sogo:5.12@{TWO}", [f"ghcr.io/mailcow/sogo@{ONE}"], f"ghcr.io/mailcow/sogo:5.12@{TWO}"),
        ("ghcr.io/mailcow/sogo:5.12", [f"mirror.test/mailcow/sogo@{ONE}"], ""),
        ("ghcr.io/mailcow/sogo:5.12", [], ""),
    ],
)
def test_digest_of_an_image_is_that_of_its_own_registry(image: str, known: list[str], expected: str) -> None:
    assert images.add_digest(image, known) == expected


@pytest.fixture(name="docker")
def fixture_docker(monkeypatch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    """Two running services, and the image data of Docker for their containers."""
    known: dict[str, t.Any] = {"plan": [], "image-1": [f"ghcr.io/mailcow/sogo@{ONE}"], "image-2": [f"redis@{TWO}"]}
    services = {"sogo-mailcow": {"image": "ghcr.io/mailcow/sogo:5.12"}, "redis-mailcow": {"image": "redis:7.4"}}
    said = {("ps", "--quiet"): "a\nb\n", ("config", "--format", "json"): json.dumps({"services": services})}

    def run(argv: list[str]) -> str:
        if argv[:2] == ["docker", "inspect"]:
            assert argv[-2:] == ["a", "b"]
            return "sogo-mailcow image-1\nredis-mailcow image-2\n"
        assert argv[:3] == ["docker", "image", "inspect"]
        return json.dumps(known[argv[-1]])

    monkeypatch.setattr(stack, "plan", lambda _of: known["plan"])
    monkeypatch.setattr(stack, "compose", lambda _of, *arguments: said[arguments])
    monkeypatch.setattr(images, "run", run)
    return known


CONFIG = settings.Settings(Path("/opt"), "", "2026-07a", "", "", 8080, 1)


@pytest.mark.usefixtures("docker")
def test_printed_images_are_valid_for_the_role() -> None:
    pasted = yaml.safe_load(f"mail_images:\n{images.digests(CONFIG)}\nmail_settings: {{}}\n")
    assert pasted["mail_images"] == {
        "redis-mailcow": f"redis:7.4@{TWO}",
        "sogo-mailcow": f"ghcr.io/mailcow/sogo:5.12@{ONE}",
    }
    pattern = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__mailcow_digest_pattern"]
    assert all(re.match(pattern, image) for image in pasted["mail_images"].values())


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"image-2": []}, r"no digest from a registry for redis-mailcow \(redis:7.4\): the image was built or loaded"),
        ({"image-2": None}, r"no digest from a registry for redis-mailcow \(redis:7.4\)"),
        ({"plan": ["start redis-mailcow"]}, r"2026-07a does not run as configured \(start redis-mailcow\)"),
    ],
)
def test_image_without_a_digest_is_named(docker: dict[str, t.Any], changed: dict[str, t.Any], reason: str) -> None:
    docker.update(changed)
    with pytest.raises(settings.Problem, match=reason):
        images.digests(CONFIG)


def test_old_images_are_removed_unless_a_container_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def execute(argv: list[str]) -> programs.Result:
        calls.append(argv)
        return programs.Result(1 if "needed" in argv else 0, "")

    monkeypatch.setattr(images, "run", lambda argv: "c1 c2" if "ps" in argv else "mariadb new")
    monkeypatch.setattr(images, "execute", execute)
    assert images.remove_old(["mariadb", "needed", "old"]) == ["old"]
    assert [argv[-1] for argv in calls] == ["needed", "old"]
