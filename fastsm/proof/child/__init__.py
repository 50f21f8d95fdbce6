"""What runs in the child, under any interpreter that has TensorFlow.

Its modules import the standard library, numpy, TensorFlow and each other, and nothing of
fastsm: the child is this folder, run by its path.
"""
