"""The staging environment trusts the authority that issues its certificates, and only in its probes."""

from __future__ import annotations

import re
import ssl

from ansible_collections.vise.platform.plugins.module_utils.tls import x509
from ansible_collections.vise.platform.plugins.modules import site_probe

from tools import collection, docs_pages

STAGING = docs_pages.description(collection.ROOT, "staging")
ROOTS = re.findall(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", STAGING["smoke_ca"], re.DOTALL)


def test_probes_trust_the_roots_of_the_staging_authority() -> None:
    assert STAGING["acme_directory"] == "staging"
    assert all("(STAGING)" in x509.load_certificate(root).subject.rfc4514_string() for root in ROOTS)
    assert all(x509.is_issued_by(root, root) for root in ROOTS)
    trusted = site_probe.create_context(STAGING["smoke_ca"]).get_ca_certs(binary_form=True)
    assert {ssl.PEM_cert_to_DER_cert(root) for root in ROOTS} <= set(trusted)
    assert len(ROOTS) == 4


def test_production_trusts_public_authorities_only() -> None:
    assert docs_pages.description(collection.ROOT, "production")["smoke_ca"] == ""
