"""Makes ``routes.py`` importable as ``decide_routes``: with --import-mode=importlib tests cannot import their neighbours."""

import importlib.util
import sys
from pathlib import Path

if "decide_routes" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("decide_routes", Path(__file__).with_name("routes.py"))
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["decide_routes"] = _module
    _spec.loader.exec_module(_module)
