"""What a stage remembers of a project, brought up to date by changes, is what the ledger says."""

from __future__ import annotations

import gzip
from typing import Any

from pypicache.core.model import ProjectName
from tests.ring_one.publishing import PublishCase, sdist, wheel
