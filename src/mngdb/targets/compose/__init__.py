"""The target `compose`: containers of a Docker engine, described in a folder that stands alone."""
