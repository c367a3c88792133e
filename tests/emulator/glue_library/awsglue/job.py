"""`Job`, without bookmarks."""

from __future__ import annotations

from collections.abc import Mapping

from awsglue.context import GlueContext


class Job:
    """Begins and commits a run. Both do nothing, because the jobs here have no bookmarks."""

    def __init__(self, glue_context: GlueContext) -> None:
        self.glue_context = glue_context

    def init(self, job_name: str, args: Mapping[str, str] | None = None) -> None:
        """Begins the run."""

    def commit(self) -> None:
        """Commits the run."""
