"""What is proved about a model, over every input of a box: safety properties, certified robustness. Not what was only tried (`security`)."""
