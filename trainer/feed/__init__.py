"""From cases to batches: the node's preparation, then augmentation."""
