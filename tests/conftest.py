"""Make the checkout importable as ansible_collections.vise.platform, in the same way as Ansible."""

from __future__ import annotations

from pathlib import Path

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    finder = _AnsibleCollectionFinder(paths=[str(ROOT / ".cache/collections")])
    finder._install()
