"""TensorFlow in a child process: whether two models are the same one, and running one."""
