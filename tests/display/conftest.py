from process_fixtures import _cache, launcher, session_launcher  # noqa: F401
