from __future__ import annotations

from types import ModuleType

import pytest
import tiny_weights


@pytest.fixture(scope="session")
def models() -> ModuleType:
    return tiny_weights
