"""The vocabulary of the node: identity, study, job, result, delivery, errors, ports.

Standard library only.
"""
