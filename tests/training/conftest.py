"""The doubles of these tests are a module beside them, which an import by path does not find by itself."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
