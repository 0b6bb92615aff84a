"""Settings for all tests: they leave nothing behind, and a loaded machine is no failure."""

from hypothesis import settings

settings.register_profile("optcore", database=None, deadline=None)
settings.load_profile("optcore")
