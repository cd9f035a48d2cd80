"""The vocabulary of the node: identity, study, job, result, delivery, errors and ports. Standard library only."""
