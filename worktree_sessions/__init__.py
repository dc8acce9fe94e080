"""wts: several Claude Code sessions on one repository, none forgotten and nothing lost."""

__version__ = "0.1.0"
