"""What a stage remembers of a project, brought up to date by changes, is what the ledger says."""

from __future__ import annotations
