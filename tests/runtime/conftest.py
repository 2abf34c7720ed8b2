from process_fixtures import _cache, launcher, session_launcher  # noqa: F401
from ray_nodes import two_nodes  # noqa: F401
