"""Mutual SLA: what moves. The pure core, the connectors and the shell around them; DESIGN.md has the map."""

from streams import compiled

compiled.use()
