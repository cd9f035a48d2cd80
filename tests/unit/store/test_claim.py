from __future__ import annotations

import pytest

from node.domain.errors import StoreInUse
from node.store.claim import StoreClaim


def test_a_store_has_one_node(tmp_path):
    with StoreClaim(tmp_path / "data"):
        with pytest.raises(StoreInUse, match="another node"):
            StoreClaim(tmp_path / "data")
        StoreClaim(tmp_path / "other").release()
    again = StoreClaim(tmp_path / "data")
    again.release()
    again.release()
