"""Imported before pydicom by programs that decode nothing themselves: it does not find GDCM then.

pydicom loads what decodes for it when it is imported itself, and GDCM takes 19 MB. What serves peers decodes
in processes of their own (decision 0012), which have it; here no byte of a peer reaches it.
"""

from __future__ import annotations

import sys

sys.modules["gdcm"] = None  # type: ignore[assignment]  # keeps a module from being imported
