"""The version of the package, in its one place."""

__version__ = "1.0.0"

# The protocol this client speaks (session.proto); a server that speaks another one is a VersionMismatch.
PROTOCOL = 1
