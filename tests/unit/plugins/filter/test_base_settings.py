"""The settings of the role base as a filter. The tests of the derived values are those of the model."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vise.platform.plugins.filter.base_settings import FilterModule


def test_missing_option_is_an_error_of_the_filter() -> None:
    with pytest.raises(AnsibleFilterError, match="'base_journal_max_use' is missing"):
        FilterModule().filters()["base_settings"]({})
