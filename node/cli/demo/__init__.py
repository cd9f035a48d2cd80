"""``demo``: the whole way on one machine, from a scanner to a PACS, with the evidence left in a folder."""
