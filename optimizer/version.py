"""The version of the distribution, readable without asking the package metadata (which costs milliseconds)."""

from __future__ import annotations

VERSION = "0.1.0"
