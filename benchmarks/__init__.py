"""Measurements that anyone can repeat; each prints the command's figures and judges nothing."""
